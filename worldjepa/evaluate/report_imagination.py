"""Charts of imagined beside real trajectories: paths where the state has x and y, curves over time otherwise.

Thick and pale is what happened, thin and dotted is what the model imagined, grey is the copy baseline (nothing moves).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from worldjepa.evaluate.report_svg import FLOOR, INK, MUTED, SERIES, style

MAX_PAIRS = 3
MAX_CURVES = 4
STILL = 1e-6
"""What moves less, relative to its size, is not worth a chart (a goal)."""
_SUFFIX = re.compile(r"^(?P<stem>.*?)(?:^|[\W_])(?P<axis>[xy])\]?$")
_INDEX = re.compile(r"^(?P<stem>.+?)[\W_](?P<axis>[01])\]?$")
_PLACES = re.compile("pos|block|pusher|goal|target|object|cube|puck|peg|tip|hand|agent", re.IGNORECASE)
_NO_PLACES = re.compile("joint|qpos|vel|quat|rot|ang|force", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Which state dimensions are drawn, and how."""

    pairs: list[tuple[str, int, int]]
    """(name, dimension of x, dimension of y) of each point that moves in the plane."""
    curves: list[int]
    """Dimensions drawn over time: those that move most among the ones in no pair, if they move at all."""
    num_hidden: int
    """Dimensions not drawn."""


def layout(imagination: dict) -> Layout:
    """Chooses what to draw from the names and from how far each dimension moves.

    Names pair as "<stem>x" / "<stem>y" ("block.x", "tip_y") and, for what sounds like a place, as "<stem>[0]" /
    "<stem>[1]"; joint positions and velocities do not pair.
    """
    names = list(imagination["names"])
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(names):
        match = _SUFFIX.match(name) or _INDEX.match(name)
        if match and match["axis"] in "01" and not _PLACES.search(match["stem"]):
            continue
        if match and not _NO_PLACES.search(match["stem"]):
            axis = {"0": "x", "1": "y"}.get(match["axis"], match["axis"])
            found.setdefault(match["stem"] or "position", {})[axis] = i
    moves = np.zeros(len(names))
    for start in imagination["starts"]:
        real = np.asarray(start["real"], dtype=float)
        moves += np.ptp(real, axis=0) / (np.abs(real).max(axis=0) + 1e-9) if len(real) else 0.0
    planes = [(stem, axes["x"], axes["y"]) for stem, axes in found.items() if len(axes) == 2]
    pairs = [(stem, x, y) for stem, x, y in planes if moves[x] + moves[y] > STILL][:MAX_PAIRS]
    rest = set(range(len(names))) - {i for _, x, y in pairs for i in (x, y)}
    moving = sorted((i for i in rest if moves[i] > STILL), key=lambda i: -moves[i])
    curves = sorted(moving[:MAX_CURVES] or ([] if pairs else rest))[:MAX_CURVES]
    return Layout(pairs, curves, len(rest) - len(curves))


def plot_paths(start: dict[str, Any], pairs: Sequence[tuple[str, int, int]], *, title: str = "") -> Figure:
    """Paths of every (x, y) pair from one start; the plane has equal scales, the open circle is the start."""
    with style():
        figure = Figure(figsize=(2.4, 2.4), layout="constrained")
        draw_paths(figure.add_subplot(), start, pairs)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def plot_curves(start: dict[str, Any], names: Sequence[str], dims: Sequence[int], *, title: str = "") -> Figure:
    """State dimensions over the steps from one start, one above the other."""
    with style():
        figure = Figure(figsize=(2.4, 0.7 + 0.85 * len(dims)), layout="constrained")
        rows = list(figure.subplots(len(dims), 1, sharex=True, squeeze=False)[:, 0])
        draw_curves(rows, start, names, dims)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def plot_legend(pairs: Sequence[tuple[str, int, int]], *, copy: bool) -> Figure:
    """One legend for all the small charts."""
    with style():
        handles = _handles(pairs, copy=copy)
        figure = Figure(figsize=(4.6, 0.25 * ((len(handles) + 1) // 2) + 0.05))
        figure.legend(handles=handles, loc="center left", ncols=2, borderaxespad=0.1)
    return figure


def plot_imagination(imagination: dict, *, max_starts: int = 6) -> Figure:
    """Imagined and real trajectories of several starts on one sheet, for a picture file.

    Args:
        imagination: As in imagination.json: {"starts": [{"episode", "index", "real", "imagined", "copy"}], "names"}.
        max_starts: Starts drawn, the first ones.

    Raises:
        ValueError: There is no start to draw.
    """
    starts = imagination["starts"][:max_starts]
    if not starts:
        raise ValueError("expected at least one start in the imagination, got none: run the imagination first")
    chosen = layout(imagination)
    num_rows = bool(chosen.pairs) + len(chosen.curves)
    heights = [2.4] * bool(chosen.pairs) + [1.0] * len(chosen.curves)
    with style():
        size = (max(2.6 * len(starts), 5.2), sum(heights) + 1.0)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        grid = figure.add_gridspec(num_rows, len(starts), height_ratios=heights)
        for column, start in enumerate(starts):
            cells = [figure.add_subplot(grid[row, column]) for row in range(num_rows)]
            cells[0].set_title(title_of(start))
            if chosen.pairs:
                draw_paths(cells[0], start, chosen.pairs)
            if chosen.curves:
                curves = cells[bool(chosen.pairs) :]
                draw_curves(curves, start, imagination["names"], chosen.curves, named=column == 0)
        handles = _handles(chosen.pairs, copy=bool(chosen.curves))
        figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 2 + len(starts) // 2))
    return figure


def title_of(start: dict[str, Any]) -> str:
    """Where a trajectory starts, e.g. "demo_3, step 12"."""
    parts = [str(start["episode"])] if "episode" in start else []
    if isinstance(start.get("episode"), int):
        parts = [f"episode {start['episode']}"]
    if "index" in start:
        parts.append(f"step {start['index']}")
    return ", ".join(parts)


def error_over_horizon(imagination: dict) -> tuple[int, dict[str, list[float]]]:
    """RMSE over starts and dimensions by step.

    Returns:
        The step of the first entry (0 where the trajectories begin with the start itself, which the copy then gets
        exactly right, 1 otherwise), and the errors of "imagined" and, where it is there, of "copy".
    """
    errors: dict[str, list[float]] = {}
    starts = imagination["starts"]
    for key in ("imagined", "copy"):
        if not starts or not all(key in start for start in starts):
            continue
        pairs = [(np.asarray(s[key], dtype=float), np.asarray(s["real"], dtype=float)) for s in starts]
        steps = min(min(len(a), len(b)) for a, b in pairs)
        squares = np.stack([(a[:steps] - b[:steps]) ** 2 for a, b in pairs])
        errors[key] = [float(v) for v in np.sqrt(squares.mean(axis=(0, 2)))]
    return (0 if errors.get("copy", [1.0])[:1] == [0.0] else 1), errors


def draw_paths(axes: Axes, start: dict[str, Any], pairs: Sequence[tuple[str, int, int]]) -> None:
    """Draws `plot_paths` into given axes."""
    real, imagined = (np.asarray(start[key], dtype=float) for key in ("real", "imagined"))
    for (_, x, y), color in zip(pairs, SERIES):
        axes.plot(real[:, x], real[:, y], color=color, linewidth=5, alpha=0.3)
        axes.plot(imagined[:, x], imagined[:, y], ".-", color=color, linewidth=1, markersize=4)
        axes.plot(real[0, x], real[0, y], "o", color=INK, markersize=5.5, markerfacecolor="none", markeredgewidth=1.2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def draw_curves(
    rows: Sequence[Axes], start: dict[str, Any], names: Sequence[str], dims: Sequence[int], *, named: bool = True
) -> None:
    """Draws `plot_curves` into given axes, one for each dimension."""
    drawn = {key: np.asarray(start[key], dtype=float) for key in ("real", "imagined", "copy") if key in start}
    steps = start.get("steps", range(len(drawn["real"])))
    for axes, dim in zip(rows, dims):
        axes.plot(steps, drawn["real"][:, dim], color=SERIES[0], linewidth=5, alpha=0.3)
        if "copy" in drawn:
            axes.plot(steps, drawn["copy"][:, dim], color=FLOOR, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.plot(steps, drawn["imagined"][:, dim], ".-", color=SERIES[0], linewidth=1, markersize=4)
        axes.margins(x=0.02, y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.tick_params(labelbottom=axes is rows[-1])
        if named:
            axes.annotate(
                names[dim], (0, 1), xycoords="axes fraction", xytext=(2, 2), textcoords="offset points",
                color=MUTED, va="bottom",
            )  # fmt: skip
    rows[-1].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    rows[-1].set_xlabel("steps ahead")


def _handles(pairs: Sequence[tuple[str, int, int]], *, copy: bool) -> list[Line2D]:
    color = INK if len(pairs) > 1 else SERIES[0]
    handles = [
        Line2D([], [], color=color, linewidth=6, alpha=0.3, label="what happened"),
        Line2D([], [], color=color, linewidth=1, marker=".", markersize=5, label="imagined"),
    ]
    if len(pairs) > 1:
        handles += [Line2D([], [], color=c, linewidth=3, label=stem) for (stem, _, _), c in zip(pairs, SERIES)]
    if copy:
        handles.append(Line2D([], [], color=FLOOR, linewidth=1.2, linestyle=(0, (4, 2)), label="copy of the start"))
    return handles
