"""The world-model section of a report: the probe against its baselines, and imagined beside real trajectories."""

from collections.abc import Sequence
from typing import Any

from worldjepa.evaluate.report_imagination import (
    error_over_horizon,
    layout,
    plot_curves,
    plot_legend,
    plot_paths,
    title_of,
)
from worldjepa.evaluate.report_plots import colors_of, has_values, plot_horizon
from worldjepa.evaluate.report_read import RunFolder, label, number
from worldjepa.evaluate.report_svg import to_svg
from worldjepa.evaluate.report_text import NONE, interval, percent, significant

MAX_STARTS = 8
CURVES = {
    "imagined": ("Imagined", "act_jepa"),
    "copy": ("Copy of the start", "copy"),
    "linear": ("Linear model", "raw state linear"),
}
"""Curves of the error over the horizon: what each is called, and whose colour it has."""


def probe_section(run: RunFolder, others: Sequence[RunFolder]) -> dict[str, Any] | None:
    """Everything the template shows of probe.json; None where there is none."""
    if run.probe is None:
        return None
    rows = list(run.probe["rows"])
    per_step = {str(k): v for k, v in (run.probe.get("per_step") or {}).items() if has_values(v)}
    for other in others:
        _join(rows, per_step, run.probe, other)
    names = list(dict.fromkeys([row["model"] for row in rows] + list(per_step)))
    colors = dict(zip(map(label, names), colors_of(names).values()))
    unit = str(run.probe.get("unit") or "")
    chart = None
    if per_step:
        curves = {label(k): _floats(v) for k, v in per_step.items()}
        chart = to_svg(plot_horizon(curves, colors, unit=unit if len(unit) <= 8 else ""), "horizon")
    best = min((float(row["rmse"]) for row in rows), default=None)
    return {
        "chart": chart,
        "rows": [_cells(row, best) for row in rows],
        "unit": unit,
        "horizon": run.probe.get("horizon"),
        "has_ate": any(number(row.get("ate")) is not None for row in rows),
        "has_interval": any(number(row.get("rmse_low")) is not None for row in rows),
        "sentence": probe_sentence(rows),
    }


def probe_sentence(rows: Sequence[dict]) -> str | None:
    """How the first learned model stands against ACT, or else against the best baseline."""
    found = {row["model"]: float(row["rmse"]) for row in rows}
    ours = found.pop("act_jepa", None)
    if ours is None or not found:
        return None
    name = "act" if "act" in found else min(found, key=lambda k: found[k])
    if found[name] <= 0:
        return None
    change = ours / found[name] - 1
    way = "below" if change < 0 else "above"
    return f"ACT-JEPA's RMSE is {percent(abs(change))} {way} that of {label(name)}."


def imagination_section(run: RunFolder) -> dict[str, Any] | None:
    """Everything the template shows of imagination.json; None where there is none."""
    found = run.imagination
    if found is None or not found["starts"]:
        return None
    chosen = layout(found)
    panels = []
    for i, start in enumerate(found["starts"][:MAX_STARTS]):
        svgs = []
        if chosen.pairs:
            svgs.append(to_svg(plot_paths(start, chosen.pairs), f"path-{i}"))
        if chosen.curves:
            svgs.append(to_svg(plot_curves(start, found["names"], chosen.curves), f"curve-{i}"))
        panels.append({"title": title_of(start), "svgs": svgs})
    first, errors = error_over_horizon(found)
    per_step = found.get("per_step")
    whole = isinstance(per_step, dict) and all(has_values(per_step.get(key)) for key in ("imagined", "copy"))
    if isinstance(per_step, dict) and whole:  # over all windows, not only the ones drawn
        first, errors = 1, {key: _floats(per_step[key]) for key in CURVES if has_values(per_step.get(key))}
    named = {CURVES[k][0]: v for k, v in errors.items()}
    colors = dict(zip(named, colors_of([CURVES[k][1] for k in errors]).values()))
    stride = int(number(found.get("stride")) or 1)
    chart = to_svg(plot_horizon(named, colors, unit="", first=first, stride=stride), "drift") if named else None
    ratio = imagination_ratio(run)
    return {
        "panels": panels,
        "legend": to_svg(plot_legend(chosen.pairs, copy=bool(chosen.curves)), "legend"),
        "chart": chart,
        "paths": bool(chosen.pairs),
        "num_hidden": chosen.num_hidden,
        "num_starts": len(found["starts"]),
        "num_scored": number(found.get("num_windows")) if whole else len(found["starts"]),
        "steered": found.get("steered"),
        "unit": str(found.get("error_unit") or found.get("unit") or ""),
        "decoder_rmse": None if number(found.get("decoder_rmse")) is None else significant(found["decoder_rmse"]),
        "rmse": significant(found.get("rmse")),
        "copy_rmse": significant(found.get("copy_rmse")),
        "ratio": None if ratio is None else significant(ratio, 2),
        "better": None if ratio is None else ratio < 1,
    }


def imagination_ratio(run: RunFolder) -> float | None:
    """Error of the imagined states divided by the error of copying the start, where both are known."""
    found = run.imagination or {}
    rmse, copy = number(found.get("rmse")), number(found.get("copy_rmse"))
    return rmse / copy if rmse is not None and copy else None


def _floats(values: Sequence[Any]) -> list[float]:
    """JSON numbers; what is none becomes a gap in the curve."""
    return [float("nan") if (found := number(value)) is None else found for value in values]


def _join(rows: list[dict], per_step: dict[str, Any], probe: dict, other: RunFolder) -> None:
    """Adds the models of another run's probe that this one lacks, where horizon and unit agree."""
    found = other.probe
    if found is None or any(found.get(k) != probe.get(k) for k in ("horizon", "unit")):
        return
    known = {row["model"] for row in rows}
    rows += [row for row in found["rows"] if row["model"] not in known]
    for name, values in (found.get("per_step") or {}).items():
        if name not in per_step and has_values(values):
            per_step[str(name)] = values


def _cells(row: dict, best: float | None) -> dict[str, Any]:
    return {
        "label": label(row["model"]),
        "best": number(row["rmse"]) == best,
        "rmse": significant(row["rmse"]),
        "rmse_interval": interval(row.get("rmse_low"), row.get("rmse_high")),
        "ate": significant(row.get("ate")),
        "ate_interval": interval(row.get("ate_low"), row.get("ate_high"))
        if number(row.get("ate")) is not None
        else NONE,
    }
