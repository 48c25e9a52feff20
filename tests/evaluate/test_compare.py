"""Comparisons of evaluations on the same starts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_envs

from worldjepa.evaluate.compare import compare, compare_seeds, save_comparison
from worldjepa.evaluate.floors import evaluate_floors
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.results import Evaluation
from worldjepa.evaluate.rollout import evaluate, task
from worldjepa.evaluate.statistics import mcnemar_exact, paired_difference


@pytest.fixture(scope="module")
def found() -> list[Evaluation]:
    walk = task("tiny/Walk-v0")
    starts = make_manifest(walk, 40, seed=0)
    return [evaluate(tiny_envs.Homing(), walk, starts, name="homing"), *evaluate_floors(walk, starts).values()]


def test_every_pair_is_compared(found: list[Evaluation], tmp_path: Path) -> None:
    value = compare(found)
    assert [(row["a"], row["b"]) for row in value["pairs"]] == [
        ("homing", "random"),
        ("homing", "noop"),
        ("random", "noop"),
    ]
    first, interval = value["pairs"][0], paired_difference(found[0].successes, found[1].successes)
    assert (first["difference"], first["low"], first["high"]) == (interval.estimate, interval.low, interval.high)
    assert first["p_value"] == mcnemar_exact(found[0].successes, found[1].successes) <= first["p_value_holm"]
    assert first["low"] > 0
    assert first["score"]["difference"] == pytest.approx(np.mean(found[0].scores - found[1].scores))
    assert json.loads(save_comparison(found, tmp_path).read_text()) == value


def test_other_starts_cannot_be_compared(found: list[Evaluation]) -> None:
    other = replace(found[1], manifest={**found[1].manifest, "sha256": "0"})
    with pytest.raises(ValueError, match="different starts"):
        compare([found[0], other])
    with pytest.raises(ValueError, match="different hold"):
        compare([found[0], replace(found[1], hold=3)])
    with pytest.raises(ValueError, match="different success threshold"):
        compare([found[0], found[1].at_threshold(0.5)])
    with pytest.raises(ValueError, match="different policy names"):
        compare([found[0], found[0]])
    with pytest.raises(ValueError, match="at least two"):
        compare(found[:1])


def test_training_seeds_are_summarised(found: list[Evaluation]) -> None:
    homing, random, noop = found
    value = compare_seeds({"a": [homing, homing], "b": [random, noop]})
    assert value["methods"]["b"]["per_seed"] == [random.rate.estimate, noop.rate.estimate]
    assert value["methods"]["b"]["success"]["estimate"] == pytest.approx(
        (random.rate.estimate + noop.rate.estimate) / 2
    )
    (pair,) = value["pairs"]
    assert pair["success"]["low"] <= pair["success"]["estimate"] <= pair["success"]["high"]
    assert pair["score"]["estimate"] == pytest.approx(homing.scores.mean() - (random.scores + noop.scores).mean() / 2)
