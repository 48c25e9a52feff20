"""Everything that is measured of an encoder of views, as one record: invariance, equivariance, and what they cost."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from worldjepa.collapse import effective_rank, feature_std
from worldjepa.evaluate.aggregates import ONLINE, aggregate, aggregates, told_actions
from worldjepa.evaluate.equivariance import (
    Samples,
    Split,
    class_accuracy,
    classified,
    classify,
    individual_r2,
    need_actions,
    regress,
    relative_r2,
)
from worldjepa.evaluate.path_integration import CONDITIONS, path_integration
from worldjepa.evaluate.statistics import Interval
from worldjepa.evaluate.view_features import ViewTable
from worldjepa.evaluate.view_retrieval import TARGET, view_retrieval
from worldjepa.learner import Learner

Progress = Callable[[str], None]
MOST_ROWS = 4096


def measure_views(
    learner: Learner, split: Split, lengths: Sequence[int], *, progress: Progress = lambda what: None
) -> dict[str, Any]:
    """Accuracy by inference length, R^2, path integration, retrieval, leakage and collapse, as JSON values.

    A part that a model or its data do not have is None.

    Args:
        learner: in eval mode.
        split: its training and held-out objects, with features "encoder", "target" where there are targets, and of
            floors by their names.
        lengths: numbers of views to aggregate or average.
        progress: told what is being measured.

    Raises:
        ValueError: fewer views than the longest sequence needs, too few objects.
    """
    check_lengths(lengths, min(split.train.num_views, split.test.num_views))
    names = [name for name in split.train.features if name != TARGET]
    found: dict[str, Any] = {"lengths": list(lengths), "groups": [g.name for g in need_actions(split).groups]}
    found |= accuracies(learner, split, names, lengths, progress)
    progress("transformations")
    found["relative"] = {name: _json(relative_r2(split, name)) for name in names}
    absolute = split.train.transformations.absolute
    found["individual"] = {name: _json(individual_r2(split, name)) for name in names} if absolute else None
    found["path_integration"] = paths(learner, split, lengths, progress)
    progress("retrieval and leakage")
    found["retrieval"] = retrievals(learner, split, lengths)
    found["action_leakage"] = action_leakage(learner, split)
    found["collapse"] = collapse(split.test)
    return found


def check_lengths(lengths: Sequence[int], views: int) -> None:
    """Raise ValueError where of so many views no sequence of the longest length, and one view more, can be drawn."""
    if not lengths or min(lengths) < 1:
        raise ValueError(f"lengths must be numbers of views of at least 1, got {list(lengths)}")
    if max(lengths) + 1 > views:
        raise ValueError(
            f"{max(lengths)} observed views and one more were asked for, and {views} of each object are there: shorten "
            "--lengths, raise --views, or record more views"
        )


def accuracies(
    learner: Learner, split: Split, names: Sequence[str], lengths: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Top-1 by number of views, of aggregates and of means of single features; None where there are no classes."""
    if split.train.label is None or not bool((split.train.label >= 0).any()):
        return {"accuracy": None, "num_classes": None, "chance": None}
    known = classified(split)
    assert known.train.label is not None
    assert known.test.label is not None
    rows: dict[str, dict[str, Any]] = {}
    for length in lengths:
        progress(f"classes from {length} views")
        if aggregates(learner):
            rows.setdefault("aggregate", {})[str(length)] = vars(aggregate_accuracy(learner, known, length))
        for name in names:
            rows.setdefault(name, {})[str(length)] = vars(class_accuracy(known, name, length))
    commonest = Counter(known.train.label.tolist()).most_common(1)[0][0]
    chance = float((known.test.label == commonest).double().mean())
    return {"accuracy": rows, "num_classes": len(set(known.train.label.tolist())), "chance": chance}


def aggregate_accuracy(learner: Learner, split: Split, length: int) -> Interval:
    """Accuracy from z_AGG of ``length`` views, by a probe fitted on aggregates of as many."""
    train, test = split.sequences(length)
    seen = [Samples(aggregate(learner, s, length), s.group) for s in (train, test)]
    return classify(seen[0], train.label, seen[1], test.label, split.settings)


def paths(learner: Learner, split: Split, lengths: Sequence[int], progress: Progress) -> dict[str, Any] | None:
    """Path integration and its two ablations; None for models that make no aggregate, or are told no actions."""
    if not aggregates(learner) or getattr(learner.model.predictor, "action", None) is None:
        return None
    found: dict[str, Any] = {name: {} for name in CONDITIONS}
    for length in lengths:
        progress(f"path integration over {length} views")
        for name, blinded in CONDITIONS.items():
            found[name][str(length)] = _json(path_integration(learner, split, length, blinded))
    return found


def retrievals(learner: Learner, split: Split, lengths: Sequence[int]) -> dict[str, Any] | None:
    """Retrieval by number of observed views; None for predictors that are told no action."""
    if not told_actions(learner) or TARGET not in split.test.features:
        return None
    seed = split.settings.seed
    shown = lengths if aggregates(learner) else [1]
    return {str(m): view_retrieval(learner, split.test, m, draws=split.draws, seed=seed) for m in shown}


def action_leakage(learner: Learner, split: Split) -> dict[str, Any] | None:
    """R^2 of the transformation from the first view to the second, read from the aggregate of these two.

    An aggregate that keeps little of it is invariant; the class in single views is the encoder's accuracy at length 1.
    None where views are not told apart: an aggregate without positions whose tokens are told no actions is the same
    for both orders, and one of three views or more does not say which of its actions came first, so that what could be
    read there would say nothing of what is kept.
    """
    predictor: Any = learner.model.predictor
    if not aggregates(learner) or not predictor.condition_tokens:
        return None
    transformations, both = need_actions(split), split.sequences(2)
    samples = [Samples(aggregate(learner, s, 2), s.group) for s in both]
    moved = [transformations.relative(s.pose)[:, 0] for s in both]
    return _json(regress(samples[0], moved[0], samples[1], moved[1], transformations.groups, split.settings))


def collapse(table: ViewTable) -> dict[str, Any]:
    """Spread and effective rank of the encoder's features of single views."""
    rows = table.features[ONLINE].flatten(0, 1)
    rows = rows[:: max(1, len(rows) // MOST_ROWS)]
    rank, std = float(effective_rank(rows)), float(feature_std(rows))
    return {"rank": rank, "std": std, "dim": rows.shape[1], "num_views": len(rows)}


def _json(scores: dict[str, Interval]) -> dict[str, Any]:
    return {name: vars(score) for name, score in scores.items()}
