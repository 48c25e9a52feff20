"""Tables of the views benchmark, and its records averaged over training seeds.

Numbers are means over seeds, with half of Student's 95 % interval for new seeds behind them where there are several;
"-" where something was not measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from rich.table import Table
from study import over_seeds, student

from worldjepa.evaluate.statistics import Interval

Runs = Sequence[Mapping[str, Any]]
"""Outcomes of one method, one a training seed; "measured" is what `equivariance.measure_run` gives."""
Outcomes = Mapping[str, Runs]
FLOORS = {"random weights": "encoder", "pixels": "pixels"}
"""Names of the floors, and of their features in the outcome that measures both."""
LONGER = {"seq-3": 5, "no action": 5}
"""Methods that the paper also shows with more views at inference than in training."""
MEAN_OF = (1, 3)
"""Views whose features are averaged, for methods that aggregate none."""
MAIN = "seq-3"
"""The method that the paper's orderings are about."""
FURTHER = (1, 3, 5, 8)
"""Numbers of views between which accuracy is said to rise."""


def tables(outcomes: Outcomes, floors: Runs, lengths: Sequence[int], *, saccades: bool = False) -> list[Table]:
    """All tables.

    Args:
        outcomes: by method.
        floors: outcomes of the floors.
        lengths: numbers of views at inference.
        saccades: whether views are fixations, of which the paper says more.
    """
    shown = [paper_table(outcomes, floors, lengths)]
    if next(iter(outcomes.values()))[0]["measured"]["accuracy"]:
        shown.append(accuracy_table(outcomes, floors, lengths))
    shown.append(transformation_table(outcomes, floors))
    if len(floors) > 1 and len(outcomes) > 1:
        shown.append(difference_table(outcomes))
    shown += [*path_tables(outcomes, lengths), retrieval_table(outcomes)]
    shown.append(orderings_table(orderings(outcomes, saccades=saccades)))
    return [table for table in shown if table.row_count]


def paper_table(outcomes: Outcomes, floors: Runs, lengths: Sequence[int]) -> Table:
    """The table of the paper's kind: a row for each method and numbers of views in training and at inference."""
    first, *others = groups(outcomes)
    columns = [f"relative\n{first}", f"single\n{first}", *(f"relative\n{group}" for group in others)]
    title = "as in the paper: top-1, and R^2; methods that aggregate nothing: mean of features"
    table = Table("method", "M train", "M val", "top-1", *columns, title=title)

    def add(name: str, runs: Runs, observed: str, length: int, kind: str, encoder: str, style: str = "") -> None:
        places = [("relative", first), ("individual", first), *(("relative", group) for group in others)]
        r2 = [cell(estimates(runs, where, encoder, group)) for where, group in places]
        top = cell(estimates(runs, "accuracy", kind, str(length)))
        table.add_row(name, observed, str(length), top, *r2, style=style)

    single = [m for m in MEAN_OF if m in lengths]
    for name, runs in outcomes.items():
        if not aggregates(runs):
            for length in single:
                add(name, runs, "-", length, "encoder", "encoder")
            continue
        observed = int(runs[0]["measured"]["observed"])
        for length in dict.fromkeys((observed, LONGER.get(name, observed))):
            if length in lengths or length == observed:
                add(name, runs, str(observed), length, "aggregate", "encoder")
    for name, features in FLOORS.items():
        for length in single:
            add(name, floors, "-", length, features, features, "dim")
    return table


def accuracy_table(outcomes: Outcomes, floors: Runs, lengths: Sequence[int]) -> Table:
    """Top-1 of a linear probe: from one view's features, and from the aggregate (baselines: the mean) of M views."""
    table = Table("method", "features\nof 1 view", *map(views, lengths), "training", title="top-1, held-out objects")

    def means(runs: Runs, kind: str) -> list[str]:
        return [cell(estimates(runs, "accuracy", kind, str(m))) for m in lengths]

    for name, runs in outcomes.items():
        kind = "aggregate" if aggregates(runs) else "encoder"
        table.add_row(name, means(runs, "encoder")[lengths.index(1)], *means(runs, kind), training_minutes(runs))
        if kind == "aggregate":
            table.add_row(f"{name}, mean of features", "", *means(runs, "encoder"), "", style="dim")
    for name, features in FLOORS.items():
        shown = means(floors, features)
        table.add_row(name, shown[lengths.index(1)], *shown, "", style="dim")
    return table


def training_minutes(runs: Runs) -> str:
    """Minutes that a training took, and by which clock."""
    clocks = "/".join(dict.fromkeys(run["clock"] for run in runs))
    return f"{np.mean([run['train_seconds'] for run in runs]) / 60:.1f} min {clocks}"


def transformation_table(outcomes: Outcomes, floors: Runs) -> Table:
    """R^2 of the transformation between two views, of one view's pose, and of the former from the aggregate."""
    names = groups(outcomes)
    kinds = {"relative": "relative", "individual": "single"}
    columns = [f"{text}\n{group}" for text in kinds.values() for group in names]
    table = Table("method", *columns, "leak", "rank", title="R^2, held-out objects; leak: relative, from the aggregate")

    def cells(runs: Runs, encoder: str) -> list[str]:
        return [cell(estimates(runs, kind, encoder, group)) for kind in kinds for group in names]

    for name, runs in outcomes.items():
        rank = np.mean([run["measured"]["collapse"]["rank"] for run in runs])
        leak = cell(estimates(runs, "action_leakage", names[0]))
        table.add_row(name, *cells(runs, "encoder"), leak, f"{rank:.1f}")
    for name, features in FLOORS.items():
        table.add_row(name, *cells(floors, features), "", "", style="dim")
    return table


def difference_table(outcomes: Outcomes) -> Table:
    """The first method less each other one in R^2 of the first group, seed by seed: both saw the same objects."""
    first, *others = outcomes
    group = groups(outcomes)[0]
    table = Table("method", f"relative {group}", f"single {group}", title="differences of R^2")

    def r2(name: str, kind: str) -> list[float]:
        return estimates(outcomes[name], kind, "encoder", group)

    for other in others:
        pairs = [less(r2(first, kind), r2(other, kind)) for kind in ("relative", "individual")]
        table.add_row(f"{first} - {other}", *(over_seeds(x, sign=True) if x else "-" for x in pairs))
    return table


def path_tables(outcomes: Outcomes, lengths: Sequence[int]) -> list[Table]:
    """R^2 of the transformation from the first view to the one to be predicted, with the two ablations."""
    found = []
    for name, runs in outcomes.items():
        group = runs[0]["measured"]["groups"][0]
        table = Table("path integration", *map(views, lengths), title=f"{name}: R^2 of {group}")
        for condition in runs[0]["measured"].get("path_integration") or ():
            cells = [cell(estimates(runs, "path_integration", condition, str(m), group)) for m in lengths]
            table.add_row(condition, *cells)
        found.append(table)
    return found


def retrieval_table(outcomes: Outcomes) -> Table:
    """Where a predicted view stands among an object's, from as many views as in training; the last view beside it."""
    shown = {name: runs for name, runs in outcomes.items() if runs[0]["measured"].get("retrieval")}
    lengths = {name: str(retrieved_length(runs[0]["measured"])) for name, runs in shown.items()}
    records = [runs[0]["measured"]["retrieval"][lengths[name]] for name, runs in shown.items()]
    scores = list(dict.fromkeys(score for record in records for score in record["model"]))
    table = Table("method", *(score.upper() for score in scores), title="retrieval of the predicted view")
    for name, runs in shown.items():
        for said, text, style in (("model", name, ""), ("copy", f"{name}, copy of the last view", "dim")):
            cells = [cell(estimates(runs, "retrieval", lengths[name], said, score)) for score in scores]
            if set(cells) != {"-"}:
                table.add_row(text, *cells, style=style)
    if records:
        chance = [records[0]["chance"].get(score) for score in scores]
        table.add_row("chance", *("-" if x is None else f"{x:.3f}" for x in chance), style="dim")
    return table


def retrieved_length(measured: Mapping[str, Any]) -> int:
    """The most observed views that were measured and are not more than in training."""
    return max(int(m) for m in measured["retrieval"] if int(m) <= measured["observed"])


@dataclass(frozen=True)
class Ordering:
    """A difference whose sign the paper's results, or a faithful small reproduction's, are known by."""

    claim: str
    values: list[float]
    """One a training seed; empty where a method was not run."""
    sign: int = 1
    """+1: it should be above zero; -1: below."""
    aimed: float | None = None
    """How large it should be, if more is wanted than its sign."""


def orderings(outcomes: Outcomes, *, saccades: bool = False) -> list[Ordering]:
    """The orderings of the paper, as far as their methods were run."""
    group = groups(outcomes)[0]

    def relative(name: str) -> list[float]:
        return estimates(outcomes.get(name, ()), "relative", "encoder", group)

    gain, place = less(relative(MAIN), relative("no action")), less(relative("predictor only"), relative("tokens only"))
    found = [
        Ordering(f"(i) relative R^2: {MAIN} - no action", gain, aimed=0.2),
        Ordering("(ii) relative R^2: predictor only - tokens only", place),
    ]
    found += invariance(outcomes.get(MAIN, ()), group) + path_orderings(outcomes.get(MAIN, ()), group)
    if saccades:
        found += saccade_orderings(outcomes, group)
    return [ordering for ordering in found if ordering.values]


def invariance(runs: Runs, group: str) -> list[Ordering]:
    """More views help the class, which sits in the aggregate, while single views keep the transformation."""

    def top(kind: str, length: int) -> list[float]:
        return estimates(runs, "accuracy", kind, str(length))

    found = [
        Ordering(f"(iii) top-1 of {MAIN}'s aggregate: {views(more)} - {fewer}",
                 less(top("aggregate", more), top("aggregate", fewer)))
        for fewer, more in pairwise(FURTHER)
    ]  # fmt: skip
    pairs = estimates(runs, "relative", "encoder", group)
    leaked = estimates(runs, "action_leakage", group)
    return [
        *found,
        Ordering("(iv) top-1: aggregate of 3 views - features of 1", less(top("aggregate", 3), top("encoder", 1))),
        Ordering("(iv) relative R^2: two single views - their aggregate", less(pairs, leaked)),
    ]


def path_orderings(runs: Runs, group: str) -> list[Ordering]:
    """Path integration is given by the last action at one view, falls with more, and needs the actions."""
    lengths = runs[0]["measured"]["lengths"] if runs else []

    def path(condition: str, length: int) -> list[float]:
        return estimates(runs, "path_integration", condition, str(length), group)

    falls = [
        Ordering(f"(v) path integration, R^2: {views(fewer)} - {more}", less(path("all", fewer), path("all", more)))
        for fewer, more in pairwise(lengths)
    ]
    needed = [
        Ordering(f"(v) path integration, R^2 from {views(m)}: with actions - without",
                 less(path("all", m), path("no actions", m)))
        for m in lengths
    ]  # fmt: skip
    return [Ordering("(v) path integration, R^2 from 1 view", path("all", 1), aimed=0.95), *falls, *needed]


def saccade_orderings(outcomes: Outcomes, group: str) -> list[Ordering]:
    """Told nothing of its saccades a model knows less; looking anywhere costs class and gains position."""

    def top(name: str) -> list[float]:
        runs = outcomes.get(name, ())
        return estimates(runs, "accuracy", "aggregate", str(runs[0]["measured"]["observed"])) if runs else []

    def position(name: str) -> list[float]:
        return estimates(outcomes.get(name, ()), "relative", "encoder", group)

    found = [Ordering(f"(vi) top-1 of the aggregate: {MAIN} - no action", less(top(MAIN), top("no action")), aimed=0.1)]
    for name in ("no saliency", "no inhibition"):
        found.append(Ordering(f"(vi) top-1 of the aggregate: {name} - {MAIN}", less(top(name), top(MAIN)), sign=-1))
        moved = less(position(name), position(MAIN))
        found.append(Ordering(f"(vi) relative R^2 of {group}: {name} - {MAIN}", moved))
    return found


def orderings_table(found: Sequence[Ordering]) -> Table:
    """Each ordering's difference seed by seed and, where there are several seeds, whether it holds."""
    table = Table("ordering", "difference", "wanted", "verdict", title="orderings of the paper")
    for row in found:
        wanted = f"{'>' if row.sign > 0 else '<'} 0" if row.aimed is None else f">= {short(row.aimed)}"
        said = verdict(student(row.values), sign=row.sign, aimed=row.aimed) if len(row.values) > 1 else ""
        table.add_row(row.claim, over_seeds(row.values, sign=True), wanted, said)
    return table


def verdict(difference: Interval, *, sign: int = 1, aimed: float | None = None) -> str:
    """Whether a difference goes the right way: "holds" or "fails" where its interval is clear of zero.

    Args:
        difference: with its interval over seeds.
        sign: the right direction, +1 or -1.
        aimed: what its size should be at least; where it goes the right way and is smaller, that is said.
    """
    low, high = sorted((sign * difference.low, sign * difference.high))
    if high < 0:
        return "fails"
    if low <= 0:
        return "undecided"
    if aimed is not None and sign * difference.estimate < aimed:
        return f"holds, less than {short(aimed)}"
    return "holds"


def averaged(name: str, runs: Runs) -> dict[str, Any]:
    """The records of a method's seeds as one: scores with their intervals over seeds, where there are several."""
    return {**mean_record([run["measured"] for run in runs]), "run": name}


def mean_record(records: Sequence[Any]) -> Any:
    """Means of all fractions in records of the same form; of anything else the first one's, None if any has None."""
    first = records[0]
    if any(record is None for record in records) or len(records) == 1:
        return None if any(record is None for record in records) else first
    if isinstance(first, Mapping):
        if set(first) == {"estimate", "low", "high"}:
            return vars(student([record["estimate"] for record in records]))
        return {key: mean_record([record.get(key) for record in records]) for key in first}
    return float(np.mean(records)) if isinstance(first, float) else first


def estimates(runs: Runs, *place: str) -> list[float]:
    """The score at a place in each seed's record; none at all where a seed has none there."""
    found = []
    for run in runs:
        value: Any = run["measured"]
        for key in place:
            value = (value or {}).get(key)
        if value is None:
            return []
        found.append(value["estimate"])
    return found


def less(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Differences seed by seed; none where one of the two was not measured."""
    return [x - y for x, y in zip(a, b, strict=True)] if a and b else []


def cell(values: Sequence[float]) -> str:
    """Mean and half the interval, in as few letters as there are; the value alone where all are the same."""
    if not values:
        return "-"
    if len(set(values)) == 1:
        return f"{values[0]:.3f}"
    found = student(values)
    return f"{found.estimate:.3f} \u00b1{found.high - found.estimate:.3f}"


def groups(outcomes: Outcomes) -> list[str]:
    """Groups of numbers that are scored together, those that are told first."""
    return list(dict.fromkeys(group for runs in outcomes.values() for group in runs[0]["measured"]["groups"]))


def aggregates(runs: Runs) -> bool:
    """Whether a method makes one latent of several views."""
    return runs[0]["measured"]["recipe"] == "seq_jepa"


def views(count: int) -> str:
    """So many views, in words."""
    return f"{count} view{'s' * (count != 1)}"


def short(value: float) -> str:
    """0.2 as ".2", as the paper's tables have it."""
    return f"{value:g}".removeprefix("0")
