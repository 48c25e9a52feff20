"""Reward and success heads from the command line: a tiny run with both, planned with instead of a goal."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from worldjepa import cli

ENV = "worldjepa/TwoRooms-v0"
MODEL = ["--model.dim", 16, "--model.trunk-width", 4, "--model.ffn-dim", 16, "--model.sigreg-slices", 8]
MODEL += ["--model.predictor-layers", 1, "--model.horizon", 3]
SMALL = ["--fit.steps", 4, "--fit.batch-size", 8, "--fit.threads", 1, "--episodes.valid", 0.25]
PLAN = ["--episodes", 2, "--plan-samples", 8, "--plan-iterations", 2, "--execute", 1, "--horizon", 40, "--videos", 0]


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play that goes on after success, recorded in TwoRooms, and a world model with heads trained on it."""
    folder = tmp_path_factory.mktemp("heads")
    kwargs = ["--kwargs", "obs_type=state+pixels", "image_size=16", "terminate_on_success=false"]
    words = ["--episodes", 8, "--horizon", 60, "--keep-going", *kwargs]
    assert run("collect", ENV, folder / "play.hdf5", *words) == 0
    heads = ["--model.reward", 1, "--model.success", 1]
    assert run("train", "ac_jepa", folder / "play.hdf5", "--out", folder / "one", *SMALL, *MODEL, *heads) == 0
    return folder


def demos(path: Path) -> list[dict[str, np.ndarray]]:
    with h5py.File(path) as file:
        return [{name: demo[name][()] for name in ("rewards", "step_success")} for demo in file["data"].values()]  # pyright: ignore


def test_a_collection_goes_on_after_success(folder: Path, capsys: pytest.CaptureFixture) -> None:
    kept = [demo["step_success"].astype(bool) for demo in demos(folder / "play.hdf5")]
    assert {len(steps) for steps in kept} == {60}
    assert any(steps[:-1].any() for steps in kept)
    options = ["--episodes", 4, "--horizon", 60]
    assert run("collect", ENV, folder / "stopped.hdf5", *options) == 0
    assert "ended" not in capsys.readouterr().out
    stopped = [demo["step_success"].astype(bool) for demo in demos(folder / "stopped.hdf5")]
    assert not any(steps[:-1].any() for steps in stopped)
    assert run("collect", ENV, folder / "ending.hdf5", *options, "--keep-going") == 0
    assert "--kwargs terminate_on_success=false" in capsys.readouterr().out


def test_a_run_with_heads_is_planned_with_by_them(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "one" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(rows[-1][name]) for name in ("reward", "success", "valid/reward", "valid/success"))
    weights = ["--plan-goal", 0, "--plan-reward", 1, "--plan-success", 1]
    assert run("evaluate", folder / "one", "--out", folder / "evaluated", *PLAN, *weights) == 0
    found = [json.loads(path.read_text()) for path in (folder / "evaluated").rglob("ac_jepa*.json")]
    assert found
    assert found[0]["num_episodes"] == 2


def test_data_without_success_is_refused(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("collect", "CartPole-v1", folder / "pole.hdf5", "--policy", "random", "--episodes", 4) == 0
    words = ["--preset", "states", "--model.horizon", 1, "--model.stride", 1, "--model.success", 1]
    assert run("train", "ac_jepa", folder / "pole.hdf5", "--out", folder / "pole", *SMALL, *words) == 2
    assert "needs data with 'success'" in capsys.readouterr().err
