"""``worldjepa inspect``: what a robot-learning user wants to know of a data set before training on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from worldjepa.commands.console import plain_table

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Group, RenderableType
    from rich.table import Table

    from worldjepa.commands.summary import Running, Summary
    from worldjepa.data.episodes import EpisodeSource

MAX_FAULTS = 5
"""Damaged episodes described one by one; the rest are counted."""

MAX_CLASSES = 8
"""Names of classes that are printed."""

VIEW_KEYS = {"image", "rotation", "label"}
"""Observations by which views of objects are known, as of worldjepa/Turntable-v0."""


@dataclass(frozen=True)
class Options:
    """Exit status 1 if an episode cannot be read."""

    path: Positional[Path]
    """Recording (robomimic HDF5, Push-T style zarr, Minari folder) or images (folder or zip of class folders, 3DIEBench
    folder)."""
    filter: str | None = None
    """Only the episodes of this named subset (robomimic's mask/FILTER)."""
    episodes: int = 0
    """Read the first this many episodes only; 0: all."""


def run(options: Options) -> int:
    """Print the summary; 1 if an episode cannot be read."""
    from rich.console import Console
    from rich.progress import track

    from worldjepa.commands.console import make_console
    from worldjepa.commands.summary import summarize
    from worldjepa.data.episodes import open_source

    console = make_console()
    source = open_source(options.path, filter=options.filter)
    indices = range(min(len(source), options.episodes or len(source)))
    found = summarize(source, list(track(indices, "reading", console=Console(stderr=True), transient=True)))
    for part in describe(source, found, options):
        console.print(part)
    return 1 if found.faults else 0


def describe(source: "EpisodeSource", found: "Summary", options: Options) -> "list[RenderableType]":
    """The parts of the printed summary, in order."""
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = [Text(str(source.path), style="bold"), Padding(_facts(source, found), (0, 1))]
    if found.lengths:
        parts.append(Padding(_keys(source, found), (1, 1, 0, 1)))
    if found.lengths and source.spec.action_dim:
        parts.append(Padding(_actions(source, found), (1, 1, 0, 1)))
    if source.filters:
        parts.append(Padding(_filters(source, found), (1, 1, 0, 1)))
    for name, fault in list(found.faults.items())[:MAX_FAULTS]:
        parts.append(Text(f"{name} cannot be used: {fault}", style="red"))
    if len(found.faults) > MAX_FAULTS:
        parts.append(Text(f"and {len(found.faults) - MAX_FAULTS} more episodes cannot be used", style="red"))
    if not found.faults and found.lengths:
        parts.append(Text(f"\nno NaN, no infinite value, lengths agree: {_next(source)}"))
    return parts


def _next(source: "EpisodeSource") -> str:
    """The training that a user of such data may want first."""
    if source.spec.action_dim == 0:
        return f"worldjepa train seq_jepa {source.path} --model.source augmentations"
    views = "classes" in source.spec.env or source.spec.obs.keys() >= VIEW_KEYS
    return f"worldjepa train {'seq_jepa' if views else 'act_jepa'} {source.path}"


def _facts(source: "EpisodeSource", found: "Summary") -> "Table":
    import json

    import numpy as np
    from rich.markup import escape

    table = plain_table("", "")
    env = {key: value for key, value in source.spec.env.items() if key != "classes"}
    classes = source.spec.env.get("classes", [])
    lengths = np.array(found.lengths or [0])
    read = f" ({len(lengths)} read)" if len(lengths) != len(source) else ""
    frames = f"{found.with_last_frame} of {len(found.lengths)} episodes hold the observation after the last action"
    rows = {
        "format": type(source).__name__.removesuffix("Source"),
        "size": _size(source.path),
        "environment": json.dumps(env) if env else "not recorded",
        "rate": f"{source.spec.fps:g} steps a second" if source.spec.fps else "not recorded",
        "episodes": f"{len(source)}{read}",
        "steps": f"{lengths.sum():,}",
        "length": f"{lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}, median {np.median(lengths):g}",
        "frames": frames,
        "success": f"{sum(found.successes)} of {len(found.successes)} flagged" if found.successes else "not recorded",
        "return": f"mean {np.mean(found.returns):.4g}, {min(found.returns):.4g} to {max(found.returns):.4g}"
        if found.returns
        else "no rewards",
        "seeds": f"{found.num_seeds} of {len(found.lengths)} recorded",
    }
    if classes:
        rows["classes"] = f"{len(classes)}: {', '.join(classes[:MAX_CLASSES])}{', ...' * (len(classes) > MAX_CLASSES)}"
    if source.spec.action_dim == 0:
        rows["actions"] = "none: single images, whose transformations are made in training"
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [x for x in path.rglob("*") if x.is_file()]
    return f"{sum(x.stat().st_size for x in files) / 1e6:,.1f} MB"


def _keys(source: "EpisodeSource", found: "Summary") -> "Table":
    table = plain_table("observation", "shape", "type", "min", "max", "mean", "std", "note")
    for key, spec in source.spec.obs.items():
        running = found.values[key]
        low, high = found.pixels.get(key, (running.min.min(), running.max.max()))
        note = _note(running)
        if key in found.plain_frames:
            plain = found.plain_frames[key]
            note = f"{plain} of {running.count} frames are of one colour" if plain else "no frame of one colour"
        shape = "x".join(map(str, spec.shape))
        numbers = [f"{x:.4g}" for x in (low, high, running.mean.mean(), running.std.mean())]
        table.add_row(key, shape, spec.dtype, *numbers, note)
    return table


def _note(running: "Running") -> str:
    constant = int((running.min == running.max).sum())
    return f"{constant} of {running.min.size} constant" if constant else ""


def _actions(source: "EpisodeSource", found: "Summary") -> "Group":
    from rich.console import Group

    running, spec = found.values["action"], source.spec
    inside = bool((running.min >= -1).all() and (running.max <= 1).all())
    table = plain_table("action", "min", "max", "mean", "std", "allowed", "note")
    for i, values in enumerate(zip(running.min, running.max, running.mean, running.std, strict=True)):
        allowed, note = _bounds(spec.action_low, spec.action_high, i, values)
        table.add_row(str(i), *[f"{x:.4g}" for x in values], allowed, note)
    scaled = "all within [-1, 1]" if inside else "not within [-1, 1]: fine here (normalised in training)"
    still = found.still_steps / max(sum(found.lengths) - len(found.lengths), 1)
    return Group(table, f"{scaled}; {still:.0%} of the steps repeat the action before")


def _bounds(
    low: tuple[float, ...] | None, high: tuple[float, ...] | None, i: int, values: "tuple[np.floating, ...]"
) -> tuple[str, str]:
    notes = ["constant"] if values[0] == values[1] else []
    if low is None or high is None:
        return "not recorded", " ".join(notes)
    if values[0] < low[i] or values[1] > high[i]:
        notes.append("outside of the action space")
    return f"{low[i]:.4g} to {high[i]:.4g}", ", ".join(notes)


def _filters(source: "EpisodeSource", found: "Summary") -> "Table":
    table = plain_table("filter", "episodes", "note")
    for name, members in sorted(source.filters.items()):
        shared = [
            other for other, names in sorted(source.filters.items()) if other > name and set(names) & set(members)
        ]
        overlap = "train" in (name, *shared) and "valid" in (name, *shared)
        note = "train and valid share episodes" if overlap else ""
        table.add_row(name, str(len(members)), note or ("empty" if not members else ""))
    return table
