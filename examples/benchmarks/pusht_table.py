"""The table of the Push-T benchmark: means over training seeds with intervals for new seeds and starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from worldjepa.evaluate.rollout import Evaluation
from worldjepa.evaluate.statistics import Interval, seeds_difference, seeds_mean


@dataclass(frozen=True)
class Outcome:
    """One finished run."""

    method: str
    seed: int
    steps: int
    evaluation: Evaluation
    probe: dict[str, Any]
    """What `probe_report` gives."""


def coverage(evaluation: Evaluation) -> ndarray:
    """Best coverage of each episode [E], raw."""
    return np.array([episode.score_max for episode in evaluation.episodes], dtype=np.float64)


MEASURES: dict[str, Callable[[ndarray], ndarray]] = {
    "success at .95": lambda c: (c >= 0.95).astype(np.float64),
    "success at .90": lambda c: (c >= 0.90).astype(np.float64),
    "mean max coverage": lambda c: c,
    "divided by .95": lambda c: np.minimum(c / 0.95, 1.0),
}


def print_table(outcomes: Sequence[Outcome], console: Console) -> None:
    """Success, coverage and probe errors a method, and the difference of ACT-JEPA to each other method."""
    methods = {o.method: [x for x in outcomes if x.method == o.method] for o in outcomes}
    shared = min(len(found) for found in methods.values())
    if shared < 2:
        return _print_single(outcomes, console)
    scores = {m: np.stack([coverage(o.evaluation) for o in found]) for m, found in methods.items()}
    table = Table(
        "method", "steps", *MEASURES, title=f"Push-T, {shared} seeds x {scores[next(iter(scores))].shape[1]} episodes"
    )
    for method, found in methods.items():
        cells = [_text(seeds_mean(measure(scores[method]))) for measure in MEASURES.values()]
        table.add_row(method, f"{np.mean([o.steps for o in found]):.0f}", *cells)
    first = next(iter(methods))
    for other in list(methods)[1:]:
        cells = [_text(seeds_difference(m(scores[first]), m(scores[other])), sign=True) for m in MEASURES.values()]
        table.add_row(f"{first} - {other}", "", *cells, style="bold")
    console.print(table)
    console.print(_probe_table(methods))
    return None


def _probe_table(methods: dict[str, list[Outcome]]) -> Table:
    """RMSE and ATE of each encoder over seeds, floors once, and the ratio to ACT."""
    table = Table(
        "encoder", "RMSE", "ATE", "per seed RMSE", title="state 16 steps ahead, linear probe, held-out demonstrations"
    )
    for method, found in methods.items():
        rows = [o.probe["rows"] for o in found]
        own = method.split(":")[0]
        names = [own, "random init", "raw state", "copy"] if method == next(iter(methods)) else [own, "random init"]
        for name in names:
            picked = [next(r for r in row if r["model"] == name) for row in rows]
            rmse = [r["rmse"] for r in picked]
            label = method if name == own else f"{name} ({method})" if name == "random init" else name
            each = " ".join(f"{x:.4f}" for x in rmse)
            table.add_row(label, f"{np.mean(rmse):.4f}", f"{np.mean([r['ate'] for r in picked]):.4f}", each)
    return table


def _print_single(outcomes: Sequence[Outcome], console: Console) -> None:
    table = Table("method", "seed", "steps", *MEASURES, "probe RMSE")
    for o in outcomes:
        found = coverage(o.evaluation)
        rmse = next(r["rmse"] for r in o.probe["rows"] if r["model"] == o.method.split(":")[0])
        table.add_row(
            o.method, str(o.seed), str(o.steps), *[f"{m(found).mean():.3f}" for m in MEASURES.values()], f"{rmse:.4f}"
        )
    console.print(table)


def _text(interval: Interval, *, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return f"{interval.estimate:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
