"""What the benchmarks share: starts that are drawn once, and intervals over training seeds."""

from pathlib import Path
from types import ModuleType

import pytest
import tiny_envs

from worldjepa.data.task import task
from worldjepa.evaluate.rollout import evaluate


@pytest.fixture
def study(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repository / "examples" / "benchmarks"))
    return pytest.importorskip("study")


def test_starts_are_drawn_once_and_then_read(study, tmp_path: Path, monkeypatch) -> None:
    drawn = study.frozen_starts(task("tiny/Walk-v0"), 5, 0, tmp_path)
    monkeypatch.setattr(study, "make_manifest", None)
    assert study.frozen_starts(task("tiny/Walk-v0"), 5, 0, tmp_path) == drawn


def test_a_changed_simulator_does_not_draw_other_starts(study, tmp_path: Path, monkeypatch) -> None:
    walk, file = task("tiny/Walk-v0"), tmp_path / "starts-5-seed0.json"
    starts = study.frozen_starts(walk, 5, 0, tmp_path)
    evaluate(tiny_envs.Homing(), walk, starts).save(tmp_path / "setting" / "run")
    study.frozen_starts(walk, 5, 1, tmp_path)  # of another seed or number: nothing to compare
    study.frozen_starts(walk, 4, 0, tmp_path)
    file.unlink()
    assert study.frozen_starts(walk, 5, 0, tmp_path) == starts  # an old folder gets the file, as the starts are its own
    monkeypatch.setattr(tiny_envs.Walk.__init__, "__defaults__", (True, True, 0.3, None))
    assert study.frozen_starts(walk, 5, 0, tmp_path) == starts
    with pytest.raises(ValueError, match=r"differs from it|is solved already"):
        evaluate(tiny_envs.Homing(), walk, starts)
    file.unlink()
    with pytest.raises(ValueError, match="was evaluated on other starts"):
        study.frozen_starts(walk, 5, 0, tmp_path)


def test_an_interval_over_seeds_is_students(study) -> None:
    assert study.over_seeds([1.0, 2.0, 3.0], digits=2) == "2.00 [-0.48, 4.48]"  # 4.303 / sqrt(3)
    assert study.over_seeds([0.5]) == "0.500"
    assert study.over_seeds([0.5, 0.5]) == "0.500 (no spread)"
