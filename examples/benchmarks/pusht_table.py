"""The table of the Push-T benchmark: means over training seeds with intervals for new seeds and starts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from study import Outcome, by_method, probe_errors, probe_table, text

from worldjepa.evaluate.rollout import Evaluation
from worldjepa.evaluate.statistics import Interval, bootstrap_mean, seeds_difference, seeds_mean, wilson


def coverage(evaluation: Evaluation) -> ndarray:
    """Best coverage of each episode [E], raw."""
    return np.array([episode.score_max for episode in evaluation.episodes], dtype=np.float64)


MEASURES: dict[str, Callable[[ndarray], ndarray]] = {
    "success at .95": lambda c: (c >= 0.95).astype(np.float64),
    "success at .90": lambda c: (c >= 0.90).astype(np.float64),
    "mean max coverage": lambda c: c,
    "divided by .95": lambda c: np.minimum(c / 0.95, 1.0),
}


def print_table(
    outcomes: Sequence[Outcome], floors: Mapping[str, Evaluation], console: Console, *, paired: bool = False
) -> None:
    """Success, coverage and probe errors a method, and the difference of ACT-JEPA to each other method.

    Args:
        outcomes: of all methods and seeds.
        floors: policies that no training seed changes, on the same starts; their intervals are for new starts alone.
        console: to print on.
        paired: a seed also chose the data that all methods learned from, so that differences are taken seed by seed.
    """
    methods = by_method(outcomes)
    difference = _same_data if paired else seeds_difference
    shared = min(len(found) for found in methods.values())
    if shared < 2:
        return _print_single(outcomes, floors, console)
    scores = {m: np.stack([coverage(o.evaluation) for o in found]) for m, found in methods.items()}
    table = Table(
        "method", "steps", *MEASURES, title=f"Push-T, {shared} seeds x {scores[next(iter(scores))].shape[1]} episodes"
    )
    for method, found in methods.items():
        cells = [text(seeds_mean(measure(scores[method]))) for measure in MEASURES.values()]
        table.add_row(method, f"{np.mean([o.steps for o in found]):.0f}", *cells)
    first = next(iter(methods))
    for other in list(methods)[1:]:
        cells = [text(difference(m(scores[first]), m(scores[other])), sign=True) for m in MEASURES.values()]
        table.add_row(f"{first} - {other}", "", *cells, style="bold")
    for name, floor in floors.items():
        table.add_row(name, "", *[text(_over_starts(m(coverage(floor)))) for m in MEASURES.values()], style="dim")
    console.print(table)
    console.print(probe_table(outcomes, "state 16 steps ahead, linear probe, held-out demonstrations"))
    return None


def _same_data(a: ndarray, b: ndarray) -> Interval:
    """Difference of [S, E] and [S, E], row s of both from the same data and the same starts."""
    return seeds_mean(a - b)


def _over_starts(values: ndarray) -> Interval:
    """Mean of [E]: Wilson's interval of a rate, the bootstrap's of other numbers."""
    if np.isin(values, (0.0, 1.0)).all():
        return wilson(int(values.sum()), len(values))
    return bootstrap_mean(values)


def _print_single(outcomes: Sequence[Outcome], floors: Mapping[str, Evaluation], console: Console) -> None:
    table = Table("method", "seed", "steps", *MEASURES, "probe RMSE")
    for o in outcomes:
        found = coverage(o.evaluation)
        rmse = probe_errors([o], o.method.split(":")[0])[0][0]
        table.add_row(
            o.method, str(o.seed), str(o.steps), *[f"{m(found).mean():.3f}" for m in MEASURES.values()], f"{rmse:.4f}"
        )
    for name, floor in floors.items():
        table.add_row(name, "", "", *[f"{m(coverage(floor)).mean():.3f}" for m in MEASURES.values()], style="dim")
    console.print(table)
