"""The training section of a report: losses, other scalars, and the collapse monitor with what healthy looks like."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldjepa.evaluate.report_plots import plot_losses, plot_monitor
from worldjepa.evaluate.report_read import RunFolder
from worldjepa.evaluate.report_svg import to_svg
from worldjepa.evaluate.report_text import significant

Series = dict[str, tuple[np.ndarray, np.ndarray]]
MAX_LINES = 6

_CLOCK = {"time_s", "time", "wall_time", "step"}
_OTHER = re.compile(r"(^|/)(lr|grad|momentum|samples|steps|seconds|memory|epoch|loader|wait)|_s$|per_s")


@dataclass(frozen=True)
class Monitor:
    """One collapse indicator and how to read it."""

    keys: dict[str, str]
    """Metric name -> label in the chart."""
    title: str
    healthy: str
    bad: Callable[[float], tuple[float, float]]
    """The region (low, high) that means trouble, from the first value."""
    bad_label: str


SPREAD = Monitor(
    {"collapse/std": "context", "collapse/target_std": "target"},
    "Spread of the latents",
    "Standard deviation over a batch, mean of the dimensions. Healthy: settles well above zero. "
    "A collapsing encoder sends it to zero.",
    lambda start: (0.0, 0.1 * start),
    "below a tenth of the start",
)
LEAST = Monitor(
    {"collapse/std_min": "context", "collapse/target_std_min": "target"},
    "Least spread of a dimension",
    "Standard deviation over a batch of the dimension that varies least. Healthy: stays above zero. One dead dimension "
    "sends it to zero, and hardly moves the mean.",
    lambda start: (0.0, 0.01 * start),
    "below a hundredth of the start",
)
RANK = Monitor(
    {"collapse/rank": "context", "collapse/target_rank": "target"},
    "Effective rank",
    "How many directions carry the variance of the latents. Healthy: at least as many as the state has, and not "
    "falling towards 1.",
    lambda start: (0.0, 1.5),
    "about one direction",
)
COPY = Monitor(
    {"collapse/copy_ratio": "predictor"},
    "Prediction against copying",
    "Error of the predicted latents, divided by the error of repeating the present one. Healthy: falls below 1 and "
    "stays there.",
    lambda start: (1.0, np.inf),
    "no better than copying",
)
MONITORS = (SPREAD, LEAST, RANK, COPY)


def training_section(run: RunFolder) -> dict[str, Any] | None:
    """Everything the template shows of metrics.jsonl; None where there is none."""
    if not run.metrics:
        return None
    groups: dict[str, Series] = {"total": {}, "terms": {}, "other": {}, "monitor": {}}
    for name, series in run.metrics.items():
        if name in _CLOCK:
            continue
        kind = "monitor" if name.startswith("collapse/") else "other" if _OTHER.search(name) else "terms"
        if name.rsplit("/", 1)[-1] == "loss":
            kind = "total"
        groups[kind][name] = series
    charts = []
    for kind, title in (("total", "Loss"), ("terms", "Terms of the loss")):
        if groups[kind]:
            shown = dict(list(groups[kind].items())[:MAX_LINES])
            charts.append({"title": title, "svg": to_svg(plot_losses(shown), f"loss-{kind}"), "text": _ends(shown)})
    others = [
        {"title": name, "svg": to_svg(plot_losses({name: series}), f"other-{i}")}
        for i, (name, series) in enumerate(groups["other"].items())
    ]
    return {"losses": charts, "others": others, "monitors": _monitors(groups["monitor"])}


def _ends(series: Series) -> str:
    parts = [f"{name} {significant(v[0])} \u2192 {significant(_end(v))}" for name, (_, v) in series.items()]
    return "First to last: " + ", ".join(parts) + "."


def _end(values: np.ndarray) -> float:
    """Mean of the last twentieth."""
    return float(values[-max(1, len(values) // 20) :].mean())


def _monitors(found: Series) -> list[dict[str, Any]]:
    shown = []
    for i, monitor in enumerate(MONITORS):
        series = {text: found[key] for key, text in monitor.keys.items() if key in found}
        if not series:
            continue
        start = min(float(values[0]) for _, values in series.values())
        bad = monitor.bad(start)
        ends = {text: _end(values) for text, (_, values) in series.items()}
        healthy = all(not bad[0] <= end <= bad[1] for end in ends.values())
        several = len(ends) > 1
        last = ", ".join(f"{text} {significant(end)}" if several else significant(end) for text, end in ends.items())
        svg = to_svg(plot_monitor(series, bad=bad, bad_label=monitor.bad_label), f"monitor-{i}")
        shown.append(
            {"title": monitor.title, "text": monitor.healthy, "healthy": healthy, "last": last, "svg": svg}
        )  # fmt: skip
    known = {key for monitor in MONITORS for key in monitor.keys}
    for i, (name, series) in enumerate((k, v) for k, v in found.items() if k not in known):
        svg = to_svg(plot_monitor({name: series}, bad=None), f"monitor-more-{i}")
        shown.append(
            {"title": name, "text": "", "healthy": None, "last": significant(_end(series[1])), "svg": svg}
        )  # fmt: skip
    return shown
