"""The charts of a report, each a matplotlib figure as wide as a phone, readable there without zooming."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from worldjepa.evaluate.report_read import EXPERTS, FLOORS, number
from worldjepa.evaluate.report_svg import FLOOR, INK, MUTED, SERIES, style

WIDTH = 4.6
"""Inches of 72 units: letters of 10.5 units stay legible on a screen 350 pixels wide."""
NUM_BINS = 160
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))

FIXED = {"act_jepa": SERIES[0], "act": SERIES[1], "bc": SERIES[2], "copy": FLOOR}


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each policy or model name: the usual ones keep theirs in every chart, floors are grey."""
    free = [c for c in SERIES if c not in FIXED.values()]
    chosen: dict[str, str] = {}
    for name in names:
        key = name.lower().replace("-", "_")
        if key in FLOORS:
            chosen[name] = FLOOR
        elif key in FIXED:
            chosen[name] = FIXED[key]
        elif key in EXPERTS:
            chosen[name] = INK
        else:
            chosen[name] = free.pop(0) if free else MUTED
    return chosen


def plot_success(rows: Sequence[dict]) -> Figure:
    """Success rate of each policy as a dot on its interval.

    Args:
        rows: {"label", "color", "rate", "low", "high", "floor": bool}, rates in [0, 1], from the top down.
    """
    with style():
        figure, axes = _figure(0.62 + 0.36 * len(rows))
        for y, row in enumerate(rows):
            axes.plot([row["low"], row["high"]], [y, y], color=row["color"], linewidth=5, alpha=0.35)
            marker = "D" if row["floor"] else "o"
            axes.plot(row["rate"], y, marker, color=row["color"], markersize=7, markeredgewidth=0)
            right = row["high"] < 0.84
            axes.annotate(
                f"{100 * row['rate']:.0f} %",
                (row["high"] if right else row["low"], y),
                xytext=(7 if right else -7, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
            )
        axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5))
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
    return figure


def plot_score_curve(
    scores: dict[str, np.ndarray], colors: dict[str, str], *, name: str, threshold: float | None
) -> Figure:
    """Share of episodes whose best score reaches x: success at every threshold at once.

    Args:
        scores: By label, the best score of each episode [n].
        colors: By label.
        name: Of the score, for the axis.
        threshold: Where success is counted, if known.
    """
    with style():
        figure, axes = _figure(2.9)
        top = max([1.0, *(float(v.max()) for v in scores.values())])
        for i, (label, values) in enumerate(scores.items()):
            x = np.concatenate([[0.0], np.sort(values), [top]])
            share = np.concatenate([[1.0], 1 - np.arange(len(values)) / len(values), [0.0]])
            axes.step(x, share, where="pre", color=colors[label], label=label, linestyle=DASHES[i % len(DASHES)])
        if threshold is not None:
            axes.axvline(threshold, color=MUTED, linewidth=1)
            axes.annotate(
                f"success: {threshold:g}", (threshold, 1.02), xytext=(0, 1), textcoords="offset points",
                ha="right" if threshold > top / 2 else "left", va="bottom", color=MUTED,
            )  # fmt: skip
        _share_axis(axes)
        axes.set(xlim=(0, top), xlabel=f"best {name} of an episode, at least")
        _legend(figure, axes)
    return figure


def plot_steps_curve(steps: dict[str, tuple[np.ndarray, int]], colors: dict[str, str]) -> Figure:
    """Share of episodes solved within x steps.

    Args:
        steps: By label, (steps to success of the solved episodes, number of all episodes).
        colors: By label.
    """
    with style():
        figure, axes = _figure(2.9)
        end = 1.05 * max(float(values.max()) for values, _ in steps.values() if len(values))
        for i, (label, (values, count)) in enumerate(steps.items()):
            x = np.concatenate([[0.0], np.sort(values), [end]])
            share = np.concatenate([np.arange(len(values) + 1), [len(values)]]) / count
            axes.step(x, share, where="post", color=colors[label], label=label, linestyle=DASHES[i % len(DASHES)])
        _share_axis(axes)
        axes.set(xlim=(0, end), xlabel="steps")
        _legend(figure, axes)
    return figure


def plot_losses(losses: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Scalars of one unit over training steps; the scale is logarithmic where they span more than a factor of 20."""
    with style():
        figure, axes = _figure(2.9)
        _curves(axes, losses)
        values = np.concatenate([v for _, v in losses.values()])
        if values.min() > 0 and values.max() > 20 * values.min():
            axes.set_yscale("log")
            decades = np.log10(values.max() / values.min())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("optimiser steps")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if len(losses) > 1:
            _legend(figure, axes)
    return figure


def plot_monitor(
    series: dict[str, tuple[np.ndarray, np.ndarray]], *, bad: tuple[float, float] | None, bad_label: str = ""
) -> Figure:
    """One collapse indicator over training, with the region that means trouble shaded.

    Args:
        series: By label, optimiser steps [K] and the indicator [K].
        bad: (low, high) of the troubled region; either may be infinite.
        bad_label: What being there means.
    """
    with style():
        figure, axes = _figure(2.3)
        _curves(axes, series)
        values = np.concatenate([v for _, v in series.values()])
        low, high = float(values.min()), float(values.max())
        if bad is not None:
            edge = bad[0] if np.isfinite(bad[0]) and bad[0] > 0 else bad[1]
            low, high = min(low, edge), max(high, edge)
        pad = 0.18 * (high - low or abs(high) or 1.0)
        bottom = max(0.0, low - pad) if low >= 0 else low - pad
        axes.set_ylim(bottom, high + pad)
        if bad is not None:
            limits = (max(bad[0], bottom), min(bad[1], high + pad))
            axes.axhspan(*limits, color=SERIES[1], alpha=0.13, linewidth=0)
            at_top = limits[1] == high + pad
            axes.annotate(
                bad_label, (0, limits[1] if at_top else limits[0]), xycoords=("axes fraction", "data"),
                xytext=(4, -3 if at_top else 3), textcoords="offset points",
                va="top" if at_top else "bottom", color=SERIES[1],
            )  # fmt: skip
        axes.set_xlabel("optimiser steps")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if len(series) > 1:
            _legend(figure, axes)
    return figure


def plot_horizon(
    per_step: Mapping[str, Sequence[float]], colors: dict[str, str], *, unit: str, first: int = 1, stride: int = 1
) -> Figure:
    """Error of each model over the steps of the horizon.

    Args:
        per_step: By label, the error `first`, `first` + 1, ... times `stride` steps ahead.
        colors: By label.
        unit: For the axis.
        first: The place of the first entry.
        stride: Steps from one entry to the next.
    """
    with style():
        figure, axes = _figure(2.9)
        for i, (label, errors) in enumerate(per_step.items()):
            ahead = stride * np.arange(first, first + len(errors))
            dash = DASHES[i % len(DASHES)]
            marker = "o" if len(errors) <= 20 else None
            axes.plot(ahead, errors, color=colors[label], label=label, linestyle=dash, marker=marker, markersize=3)
        axes.set(xlabel="steps ahead", ylabel="RMSE" + (f" ({unit})" if unit else ""))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        _legend(figure, axes)
    return figure


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _share_axis(axes: Axes) -> None:
    axes.set(ylim=(-0.02, 1.02), ylabel="episodes")
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, in as many columns as the width allows."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(len(text) for text in labels) + 5
    figure.legend(handles, labels, loc="outside upper left", ncols=max(1, min(len(labels), 52 // longest)))


def _curves(axes: Axes, series: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Each scalar as the mean of consecutive entries, its range as a band where entries had to be joined.

    Held-out losses ("valid/...") have the colour of their training loss, dashed.
    """
    bases = list(dict.fromkeys(name.removeprefix("valid/") for name in series))
    for i, (name, (steps, values)) in enumerate(series.items()):
        color = SERIES[bases.index(name.removeprefix("valid/")) % len(SERIES)]
        dash = DASHES[1] if name.startswith("valid/") else "-" if len(bases) < len(series) else DASHES[i % len(DASHES)]
        parts = np.array_split(np.arange(len(steps)), min(len(steps), NUM_BINS))
        x = np.array([steps[p].mean() for p in parts])
        mean = np.array([values[p].mean() for p in parts])
        if len(steps) > NUM_BINS:
            low, high = (np.array([f(values[p]) for p in parts]) for f in (np.min, np.max))
            axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        marker = "o" if len(steps) < 3 else None
        axes.plot(x, mean, color=color, label=name, linestyle=dash, marker=marker)


def has_values(value: object) -> bool:
    """True where a JSON list holds at least one finite number."""
    return isinstance(value, list) and any(number(v) is not None for v in value)
