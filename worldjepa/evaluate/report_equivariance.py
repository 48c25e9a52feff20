"""Charts of the equivariance suite: accuracy and path integration by number of views, of one run or of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from worldjepa.evaluate.report_plots import DASHES, WIDTH
from worldjepa.evaluate.report_read import RunFolder
from worldjepa.evaluate.report_svg import FLOOR, INK, MUTED, SERIES, style, to_svg
from worldjepa.evaluate.report_text import NONE, interval, significant

NAMES: dict[str, str] = {
    "aggregate": "Aggregate",
    "encoder": "Encoder, mean of views",
    "random init": "Random encoder, mean",
    "pixels": "Pixels, mean",
}
COLORS: dict[str, str] = {"aggregate": SERIES[0], "encoder": SERIES[1], "random init": FLOOR, "pixels": FLOOR}
PATHS: dict[str, str] = {"all": "Views and actions", "no views": "No views", "no actions": "No actions"}
PATH_COLORS = {"all": SERIES[0], "no views": SERIES[2], "no actions": FLOOR}
ON_CELL = ("#ffffff", "#101010")
"""Letters on dark and on light cells, the same on every page."""

Runs = Sequence[Mapping[str, Any]]


def plot_views(runs: Runs) -> Figure:
    """All of the suite in one figure.

    Args:
        runs: records of equivariance.json. Of one run, curves over the number of views; of several, a curve each, or
            heat maps over both numbers where aggregates were trained on different numbers of views.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("expected at least one record of the equivariance suite, got none")
    charts = [make for make, shown in CHARTS if shown(runs)]
    with style():
        figure = Figure(figsize=(WIDTH * len(charts), 3.6), layout="constrained")
        for draw, axes in zip(charts, figure.subplots(1, len(charts), squeeze=False)[0], strict=True):
            draw(axes, runs)
    return figure


def plot_chart(draw: Any, runs: Runs) -> Figure:
    """One of `CHARTS` in a figure of its own."""
    with style():
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        draw(figure.subplots(), runs)
    return figure


def save_png(figure: Figure, path: Path) -> Path:
    """Write a figure as a picture on white."""
    with style():
        figure.savefig(path, dpi=150, facecolor="white")
    return path


def draw_accuracy(axes: Axes, runs: Runs) -> None:
    """Top-1 accuracy by number of views."""
    axes.set_title("Top-1 accuracy")
    shown = [run for run in runs if run["accuracy"]]
    if by_training_length(runs):
        aggregated = [run for run in shown if "aggregate" in run["accuracy"]]
        _heat_map(axes, aggregated, [run["accuracy"]["aggregate"] for run in aggregated], percent=True)
        return
    if len(runs) > 1:
        read = {_title(run): "aggregate" if "aggregate" in run["accuracy"] else "encoder" for run in shown}
        of_runs = _colors(runs)
        texts = {name: f"{name}, {'aggregate' if kind == 'aggregate' else 'mean'}" for name, kind in read.items()}
        curves = {texts[_title(run)]: run["accuracy"][read[_title(run)]] for run in shown}
        colors = {texts[name]: of_runs[name] for name in texts}
    else:
        curves = {_named(name): row for name, row in shown[0]["accuracy"].items()}
        colors = {_named(name): COLORS.get(name, MUTED) for name in shown[0]["accuracy"]}
    _curves(axes, curves, colors)
    axes.axhline(shown[0]["chance"], color=MUTED, linewidth=1, label="Commonest class")
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def draw_path(axes: Axes, runs: Runs) -> None:
    """R^2 of the way from the first view to the last, of the first group of numbers."""
    shown = [run for run in runs if run["path_integration"]]
    group = shown[0]["groups"][0]
    axes.set_title(f"Path integration, R\u00b2 of {group.replace('_', ' ')}")
    if by_training_length(runs):
        _heat_map(axes, shown, [_of(run["path_integration"]["all"], group) for run in shown], percent=False)
        return
    if len(shown) > 1:
        curves = {_title(run): _of(run["path_integration"]["all"], group) for run in shown}
        colors = _colors(runs)
    else:
        path = shown[0]["path_integration"]
        curves = {PATHS[name]: _of(path[name], group) for name in PATHS}
        colors = {PATHS[name]: PATH_COLORS[name] for name in PATHS}
    _curves(axes, curves, colors)
    lowest = min(x["estimate"] for row in curves.values() for x in row.values())
    axes.set_ylim(min(-0.05, max(lowest - 0.05, -0.5)), 1.05)
    axes.legend(loc="best")


def draw_transformations(axes: Axes, runs: Runs) -> None:
    """R^2 of each group read from two views, by encoder or by run, with its interval."""
    axes.set_title("R\u00b2 of the change between two views")
    if len(runs) > 1:
        rows = {_title(run): run["relative"]["encoder"] for run in runs}
        colors = _colors(runs)
    else:
        rows = {_named(name).partition(",")[0]: row for name, row in runs[0]["relative"].items()}
        colors = {text: COLORS.get(name, MUTED) for text, name in zip(rows, runs[0]["relative"])}
    groups = list(dict.fromkeys(group for run in runs for group in run["groups"]))
    step = 0.7 / max(1, len(rows))
    for i, (text, row) in enumerate(rows.items()):
        at = [g + (i - (len(rows) - 1) / 2) * step for g in range(len(groups))]
        found = [(y, row[group]) for y, group in zip(at, groups) if group in row]
        for y, x in found:
            axes.plot(
                [max(x["low"], LOWEST), max(x["high"], LOWEST)], [y, y], color=colors[text], linewidth=4, alpha=0.35
            )
        points = [max(x["estimate"], LOWEST) for _, x in found]
        axes.plot(points, [y for y, _ in found], "oDsv^P"[i % 6], color=colors[text], label=text, markersize=6)
    axes.set_yticks(range(len(groups)), [group.replace("_", " ") for group in groups])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(ylim=(len(groups) - 0.4, -0.6), xlim=(LOWEST - 0.03, 1.03))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)


LOWEST = -0.25
"""R^2 below is drawn here."""


def views_section(run: RunFolder, others: Sequence[RunFolder]) -> dict[str, Any] | None:
    """Everything the template shows of equivariance.json; None where there is none."""
    if run.equivariance is None:
        return None
    runs = [run.equivariance, *(other.equivariance for other in others if other.equivariance is not None)]
    drawn = [(draw, text) for (draw, shown), text in zip(CHARTS, TEXTS, strict=True) if shown(runs)]
    svgs = [to_svg(plot_chart(draw, runs), f"views-{i}") for i, (draw, _) in enumerate(drawn)]
    columns = list(dict.fromkeys(name for found in runs for name in summary(found)))
    return {
        "num_train": run.equivariance["num_objects"]["train"],
        "num_test": run.equivariance["num_objects"]["test"],
        "charts": [{"svg": svg, "text": text} for svg, (_, text) in zip(svgs, drawn, strict=True)],
        "columns": columns,
        "rows": [
            {
                "name": _title(found),
                "observed": found["observed"],
                "cells": [_cell(summary(found).get(name)) for name in columns],
            }
            for found in runs
        ],
    }


def summary(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The few scores that say how a run of the suite went, by name: {"estimate", "low", "high"}, rates as shares.

    Accuracy of the encoder's single views, and of the most views: aggregated, or the mean; R^2 of what differs between
    two views; retrieval from as many views as in training.
    """
    scores: dict[str, dict[str, Any]] = {}
    accuracy, lengths = found["accuracy"] or {}, [str(m) for m in found["lengths"]]
    if accuracy:
        if "1" in accuracy["encoder"]:
            scores["top-1, one view"] = accuracy["encoder"]["1"]
        scores[f"top-1, mean of {lengths[-1]}"] = accuracy["encoder"][lengths[-1]]
        if "aggregate" in accuracy:
            scores[f"top-1, aggregate of {lengths[-1]}"] = accuracy["aggregate"][lengths[-1]]
    for group, score in found["relative"]["encoder"].items():
        scores[f"R\u00b2 of {group.replace('_', ' ')}"] = score
    retrieval = found["retrieval"] or {}
    row = retrieval.get(str(found["observed"]), next(iter(retrieval.values()), None))
    if row is not None:
        scores[f"MRR of {row['num_views']} views"] = row["model"]["mrr"]
    return scores


TEXTS = (
    "A linear probe for each number of views. An aggregate must beat the mean over as many views of the encoder.",
    "Read from the aggregate and the last action; a probe for each number of views, also of what is left without the "
    "views, or without the actions. With one view the action is the answer.",
    "Read from the features of both views; 0 is as good as always saying the mean.",
)


def by_training_length(runs: Runs) -> bool:
    """Whether aggregates of several numbers of training views are compared."""
    return (
        len({run["observed"] for run in runs if run["path_integration"] or "aggregate" in (run["accuracy"] or {})}) > 1
    )


CHARTS = (
    (draw_accuracy, lambda runs: any(run["accuracy"] for run in runs)),
    (draw_path, lambda runs: any(run["path_integration"] for run in runs)),
    (draw_transformations, lambda runs: True),
)
"""Charts, and whether there is anything to draw in them."""


def _curves(axes: Axes, curves: Mapping[str, Mapping[str, Any]], colors: Mapping[str, str]) -> None:
    for i, (name, row) in enumerate(curves.items()):
        x = np.array([int(length) for length in row])
        found = {key: np.array([value[key] for value in row.values()]) for key in ("estimate", "low", "high")}
        if colors[name] not in (FLOOR, MUTED):
            axes.fill_between(x, found["low"], found["high"], color=colors[name], alpha=0.15, linewidth=0)
        dash = DASHES[i % len(DASHES)]
        axes.plot(x, found["estimate"], color=colors[name], label=name, linestyle=dash, marker="o", markersize=3.5)
    axes.set_xlabel("views at inference")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _heat_map(axes: Axes, runs: Runs, scores: Sequence[Mapping[str, Any]], *, percent: bool) -> None:
    """A column for each run, by its training length, a row for each inference length, the number in the cell."""
    order = sorted(range(len(runs)), key=lambda j: runs[j]["observed"])
    trained = [runs[j]["observed"] for j in order]
    names = [str(n) if trained.count(n) == 1 else f"{n}\n{_title(runs[j])}" for n, j in zip(trained, order)]
    lengths = sorted({int(length) for row in scores for length in row})
    cells = np.full((len(lengths), len(order)), np.nan)
    for column, j in enumerate(order):
        for length, value in scores[j].items():
            cells[lengths.index(int(length)), column] = value["estimate"]
    low, high = np.nanmin(cells), np.nanmax(cells)
    colors = colormaps["viridis"]
    axes.pcolormesh(cells, cmap=colors, vmin=low, vmax=max(high, low + 1e-6), edgecolors="white", linewidth=1.5)
    for (i, j), value in np.ndenumerate(cells):
        if np.isfinite(value):
            light = (value - low) / max(high - low, 1e-6) > 0.6
            text = f"{100 * value:.1f}" if percent else f"{value:.2f}"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=ON_CELL[int(light)], fontsize=9.5)
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.set_yticks(np.arange(len(lengths)) + 0.5, [str(n) for n in lengths])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set(xlabel="views in training", ylabel="views at inference")


def _of(row: Mapping[str, Any], group: str) -> dict[str, Any]:
    return {length: groups[group] for length, groups in row.items() if group in groups}


def _cell(score: Mapping[str, Any] | None) -> dict[str, str]:
    if score is None:
        return {"value": NONE, "interval": ""}
    return {"value": significant(score["estimate"], 2), "interval": interval(score["low"], score["high"], spec=".2f")}


def _named(encoder: str) -> str:
    return NAMES.get(encoder, encoder)


def _title(run: Mapping[str, Any]) -> str:
    return str(run["run"])


def _colors(runs: Runs) -> dict[str, str]:
    """A run has one colour in every chart."""
    return {_title(run): SERIES[i % len(SERIES)] for i, run in enumerate(runs)}
