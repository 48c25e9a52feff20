"""Comparisons of policies that were evaluated on the same starts."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from worldjepa.evaluate.results import Evaluation
from worldjepa.evaluate.statistics import (
    Comparison,
    compare_means,
    compare_success,
    holm,
    seeds_difference,
    seeds_mean,
    seeds_rate,
)


def compare(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Every pair of policies, a minus b, as JSON values.

    Args:
        evaluations: at least two, of one manifest.

    Returns:
        {"pairs": [{"a", "b", "difference", "low", "high", "p_value", "p_value_holm", "test", "score"}], "n",
        "manifest"} where "score" holds the same of the best score, or None. Success: Newcombe's interval, exact
        McNemar test.

    Raises:
        ValueError: fewer than two, equal names, or other starts, hold or thresholds.
    """
    _check_comparable(evaluations)
    pairs = []
    for a, b in itertools.combinations(evaluations, 2):
        row = {"a": a.policy, "b": b.policy, **_flat(compare_success(a.successes, b.successes))}
        scored = a.score_name is not None and b.score_name is not None
        row["score"] = _flat(compare_means(a.scores, b.scores)) if scored else None
        pairs.append(row)
    for row, p_value in zip(pairs, holm([row["p_value"] for row in pairs]), strict=True):
        row["p_value_holm"] = p_value
    return {"pairs": pairs, "n": len(evaluations[0].episodes), "manifest": evaluations[0].manifest["sha256"]}


def save_comparison(evaluations: Sequence[Evaluation], run_dir: str | Path) -> Path:
    """Write ``run_dir/comparison.json`` and return its path."""
    path = Path(run_dir) / "comparison.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(compare(evaluations), indent=1) + "\n")
    return path


def compare_seeds(methods: Mapping[str, Sequence[Evaluation]]) -> dict[str, Any]:
    """Methods with several training seeds each, all on the same starts, as JSON values.

    The intervals speak about new training seeds and new starts, see `seeds_mean` and `seeds_difference`.

    Args:
        methods: name -> one evaluation for each training seed, at least two.

    Returns:
        {"methods": {name: {"success": interval, "score": interval or None, "per_seed": [rate, ...]}},
        "pairs": [{"a", "b", "success": interval, "score": interval or None}]}, interval = {"estimate", "low", "high"}.

    Raises:
        ValueError: other starts, hold or thresholds, or fewer than two seeds.
    """
    everything = [evaluation for found in methods.values() for evaluation in found]
    _check_comparable(everything, names_differ=False)
    success = {name: np.stack([e.successes for e in found]) for name, found in methods.items()}
    scored = all(e.score_name is not None for e in everything)
    score = {name: np.stack([e.scores for e in found]) for name, found in methods.items()} if scored else {}
    summary = {
        name: {
            "success": asdict(seeds_rate(success[name])),
            "score": asdict(seeds_mean(score[name])) if scored else None,
            "per_seed": success[name].mean(1).tolist(),
        }
        for name in methods
    }
    pairs = [
        {
            "a": a,
            "b": b,
            "success": asdict(seeds_difference(success[a], success[b])),
            "score": asdict(seeds_difference(score[a], score[b])) if scored else None,
        }
        for a, b in itertools.combinations(methods, 2)
    ]
    return {"methods": summary, "pairs": pairs}


def _check_comparable(evaluations: Sequence[Evaluation], names_differ: bool = True) -> None:
    if len(evaluations) < 2:
        raise ValueError(f"a comparison needs at least two evaluations, got {len(evaluations)}")
    names = [evaluation.policy for evaluation in evaluations]
    if names_differ and len(set(names)) < len(names):
        raise ValueError(f"evaluations must have different policy names, got {names}")
    first = evaluations[0]
    for other in evaluations[1:]:
        for what, mine, theirs in (
            ("starts (manifest sha256)", first.manifest["sha256"], other.manifest["sha256"]),
            ("hold", first.hold, other.hold),
            ("horizon", first.horizon, other.horizon),
            ("success threshold", first.success_threshold, other.success_threshold),
        ):
            if mine != theirs:
                raise ValueError(
                    f"{first.policy} and {other.policy} were evaluated with different {what}: {mine} and {theirs}; "
                    "evaluate both on one manifest with the same options"
                )


def _flat(comparison: Comparison) -> dict[str, Any]:
    found = comparison.difference
    return {
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p_value": comparison.p_value,
        "test": comparison.test,
    }
