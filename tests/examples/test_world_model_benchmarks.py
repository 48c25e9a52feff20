"""The benchmarks of world models in miniature: they run, go on where they stopped, and refuse what does not belong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

SMALL = {"samples": 30, "iterations": 1}


@pytest.fixture
def load(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script by its name, with worlds of a few recorded episodes."""
    monkeypatch.syspath_prepend(str(repository / "examples" / "benchmarks"))
    shared = pytest.importorskip("world_model")
    monkeypatch.setattr(shared, "VALID", 2)
    for name, world in shared.WORLDS.items():
        monkeypatch.setitem(shared.WORLDS, name, dataclasses.replace(world, episodes=10))
    threads = torch.get_num_threads()
    yield pytest.importorskip
    torch.set_num_threads(threads)


def printed(script: ModuleType, capsys: pytest.CaptureFixture[str], options: Any) -> str:
    script.main(options)
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_rooms_is_learned_planned_in_and_varied(load, tmp_path: Path, capsys) -> None:
    shared = load("world_model")
    args = shared.Args(out=tmp_path, seeds=(0,), cpu_minutes=0.03, episodes=1, **SMALL)
    shown = printed(shared, capsys, args)
    assert all(word in shown for word in ("small", "copy latent", "inverse dynamics", "GCBC", "expert", "20 steps"))
    runs = tmp_path / shared.setting(args)
    before = (runs / "small-seed0" / "outcome.json").read_bytes()
    assert "small" in printed(shared, capsys, args)
    assert (runs / "small-seed0" / "outcome.json").read_bytes() == before

    planners = load("world_model_planners")
    shown = printed(planners, capsys, planners.Options(runs=runs, episodes=1, planners=("icem", "shooting"), **SMALL))
    assert "shooting" in shown
    factors = load("world_model_factors")
    wanted = factors.Options(runs=runs, episodes=1, factors=("agent_color", "door_width"), **SMALL)
    shown = printed(factors, capsys, wanted)
    assert all(word in shown for word in ("nothing", "agent_color", "door_width"))

    path = runs / "small-seed0" / "outcome.json"
    outcome = json.loads(path.read_text())
    outcome["config"]["dim"] += 1
    path.write_text(json.dumps(outcome))
    with pytest.raises(SystemExit, match=r"has other \['dim'\]"):
        shared.main(args)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_hybrid_starts_from_a_chunk_of_act_jepa(load, tmp_path: Path, capsys) -> None:
    shared, hybrid = load("world_model"), load("world_model_hybrid")
    args = shared.Args(
        world="push_near", out=tmp_path, seeds=(0,), cpu_minutes=0.03, episodes=1, baselines=False, **SMALL
    )
    printed(shared, capsys, args)
    runs = tmp_path / shared.setting(args)
    options = hybrid.Options(runs=runs, cpu_minutes=0.03, demonstrations=3, episodes=1, hybrid_stds=(0.25,), **SMALL)
    shown = printed(hybrid, capsys, options)
    assert all(word in shown for word in ("hybrid, std 0.25", "planning", "ACT-JEPA"))
    assert (runs / "hybrid-0.03min-3demonstrations-1goals" / "seed0" / "outcome.json").exists()


def test_differences_are_taken_over_the_starts_that_both_have(load) -> None:
    factors = load("world_model_factors")
    starts = [dataclasses.make_dataclass("Starts", ["seeds"])(seeds) for seeds in ((1, 2, 3, 4), (2, 3, 4, 9))]
    varied, usual = np.array([[0, 1, 0, 1], [0, 1, 1, 1]], bool), np.array([[1, 1, 1, 0], [1, 1, 1, 0]], bool)
    # shared: 2, 3, 4; varied less usual: 0, -1, 0 and 0, 0, 0
    found = factors.difference(varied, starts[0], usual, starts[1])
    assert found.startswith("-0.167 [")


def test_what_is_not_there_is_said(load, tmp_path: Path) -> None:
    for name in ("world_model_factors", "world_model_planners", "world_model_hybrid"):
        script = load(name)
        with pytest.raises(SystemExit, match=r"make them with world_model\.py"):
            script.main(script.Options(runs=tmp_path))
    planners = load("world_model_planners")
    with pytest.raises(SystemExit, match="there is no planner 'dream'"):
        planners.make_planner("dream", None, planners.Options(runs=tmp_path), 1.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_for_gpus_measures_a_processor_too(repository: Path) -> None:
    script = str(repository / "examples" / "benchmarks" / "gpu.py")
    small = ["--steps", "2", "--warm", "1", "--batch-size", "2", "--episodes", "1", "--samples", "8", "--plans", "1"]
    words = [sys.executable, script, "--device", "cpu", "--compiled", "False", *small]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "windows/s" in done.stdout
    assert "ms a plan" in done.stdout
