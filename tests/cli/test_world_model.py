"""A world model from the command line, in miniature: train, imagine, evaluate, compare, report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from worldjepa import cli

ENV = "worldjepa/TwoRooms-v0"
MODEL = ["--model.dim", 16, "--model.trunk-width", 4, "--model.ffn-dim", 16, "--model.sigreg-slices", 8]
MODEL += ["--model.predictor-layers", 1, "--model.horizon", 3, "--model.ensemble", 2, "--model.predictor", "causal"]
SMALL = ["--fit.steps", 4, "--fit.batch-size", 8, "--fit.threads", 1, "--episodes.valid", 0.25]
PLAN = ["--episodes", 2, "--plan-samples", 8, "--plan-iterations", 2, "--execute", 1, "--horizon", 40]


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play recorded in TwoRooms, a world model and a behaviour clone trained on it."""
    folder = tmp_path_factory.mktemp("world")
    kwargs = ["--kwargs", "obs_type=state+pixels", "image_size=16"]
    assert run("collect", ENV, folder / "play.hdf5", "--policy", "random", "--episodes", 8, *kwargs) == 0
    assert run("train", "ac_jepa", folder / "play.hdf5", "--out", folder / "one", *SMALL, *MODEL) == 0
    assert run("train", "bc", folder / "play.hdf5", "--out", folder / "bc", *SMALL, "--model.dim", 8) == 0
    np.save(folder / "actions.npy", np.full((10, 2), 0.5))
    words = ["--pictures", "--decoder-steps", 3, "--starts", 2, "--max-windows", 60, "--policy", "random"]
    assert run("imagine", folder / "one", *words, "--actions", folder / "actions.npy") == 0
    suite = ["--suite", "world-model", "--max-windows", 60, "--factors", "agent_color"]
    assert run("evaluate", folder / "one", *suite, *PLAN) == 0
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_imagination_has_its_floors_and_its_doubt(folder: Path) -> None:
    found = read(folder / "one" / "imagination.json")
    assert {"rmse", "copy_rmse", "linear_rmse", "decoder_rmse"} <= set(found)
    assert found["stride"] == 5
    assert all(len(x) == 3 for x in (*found["per_step"].values(), *found["latent_per_step"].values()))
    assert len(found["disagreement"]) == 3


def test_pictures_are_made_of_every_source_of_actions(folder: Path) -> None:
    made = {x.name for x in (folder / "one" / "imagination").iterdir()}
    sources = ("recorded", "random", "actions")
    assert made >= {f"{source}_00{i}.{kind}" for source in sources for i in (0, 1) for kind in ("png", "mp4")}
    assert made >= {"decoder.json", "decoder.safetensors", "random.json", "actions.json"}
    told = read(folder / "one" / "imagination" / "actions.json")
    assert np.shape(told["starts"][0]["imagined"]) == (3, len(told["names"]))
    acted = read(folder / "one" / "imagination" / "random.json")
    assert (acted["policy"], acted["num_windows"]) == ("random", 2)
    assert all(start["index"] == 0 for start in acted["starts"])


def test_the_suite_writes_one_record(folder: Path) -> None:
    found = read(folder / "one" / "world_model.json")
    assert found["steps"] == 4
    assert {"imagined", "copy", "linear", "decoder"} == set(found["open_loop"]["probe"])
    assert {"imagined", "copy", "linear"} == set(found["open_loop"]["latent"])
    for kind in ("linear", "mlp"):
        assert {"encoder", "random init", "mean"} == set(found["probe"][kind])
    assert 1 <= found["collapse"]["rank"] <= found["collapse"]["dim"] == 16
    planning = found["planning"]
    assert set(planning["policies"]) == {"ac_jepa", "copy_latent", "random", "noop"}
    assert planning["num_episodes"] == 2
    assert planning["kwargs"]["goal_obs"] is True
    assert planning["planner"]["num_samples"] == 8
    assert planning["ms_per_plan"]["n"] >= 2
    own = read(folder / "one" / "evaluations" / "ac_jepa.json")
    assert own["success"]["rate"] == planning["policies"]["ac_jepa"]["rate"]
    assert own["manifest"]["sha256"] == planning["manifest"]
    varied = found["factors"]["agent_color"]
    assert varied["kwargs"]["variation"] == ["agent_color"]
    assert set(varied["policies"]) == {"ac_jepa", "random"}
    assert varied["manifest"] != planning["manifest"]


def test_runs_are_compared_side_by_side(folder: Path, capsys: pytest.CaptureFixture) -> None:
    other = shutil.copytree(folder / "one", folder / "other")
    assert run("compare", folder / "one", other) == 0
    text = capsys.readouterr().out
    for line in ("success", "ms a plan", "open loop +5, imagined", "rank of the latents", "agent_color varied"):
        assert line in text
    assert run("compare", folder / "one", other, "--steps", 2, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    loop = read(folder / "one" / "world_model.json")["open_loop"]["probe"]
    assert [x["run"] for x in rows] == ["one", "other"]
    assert rows[0]["open_loop"] == {"10": {k: loop[k][1] for k in ("imagined", "copy", "linear")}}


def test_a_run_evaluated_in_the_usual_way_is_compared_too(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("evaluate", folder / "one", folder / "bc", "--out", folder / "usual", "--videos", 0, *PLAN) == 0
    assert run("compare", folder / "usual", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out.partition("\n[")[2].join(["[", ""]))
    assert set(row["floors"]) | {"ac_jepa"} >= {"ac_jepa", "bc", "random", "noop"}
    assert row["open_loop"] == {}


def test_the_planner_and_its_time_are_chosen(folder: Path) -> None:
    other = shutil.copytree(folder / "one", folder / "planned")
    plan = ["--episodes", 1, "--planner", "gradient", "--plan-samples", 2, "--horizon", 10]
    suite = ["--suite", "world-model", "--max-windows", 60, "--plan-penalty", 0.5]
    assert run("evaluate", other, *suite, *plan, "--budget-ms", 0.001) == 0
    found = read(other / "world_model.json")["planning"]
    planner = found["planner"]
    assert (planner["kind"], planner["restarts"], planner["iterations"]) == ("GradientPlanner", 2, 50)
    assert planner["budget_ms"] == 0.001
    assert planner["cost"] == {"goal": 1.0, "reward": 0.0, "success": 0.0, "penalty": 0.5}
    assert found["num_episodes"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["imagine", "one", "--horizon", 4], "imagination of 4"),
        (["imagine", "one", "--actions", "missing.npy"], "no actions"),
        (["imagine", "bc", "--pictures"], "no predictor"),
        (["imagine", "one", "--state-keys", "nothing"], "no states"),
        (["evaluate", "bc", "--suite", "world-model"], "no predictor"),
        (["evaluate", "one", "bc", "--suite", "world-model"], "one run folder"),
        (["evaluate", "one", "--suite", "world-model", "--env", "worldjepa/PushT-v0"], "goal"),
        (["evaluate", "one", "--suite", "world-model", "--factors", "moon"], "agent_color"),
        (["evaluate", "one", "--suite", "world-model", "--kwargs", "obs_type=state"], "goal_image"),
        (["evaluate", "one", "--plan-reward", 1], "--model.reward 1"),
        (["evaluate", "one", "--plan-goal", 0], "something to reach"),
        (["evaluate", "one", "--budget-ms", -5], "budget_ms must be a finite number above 0"),
        (["compare", "bc"], "--suite world-model"),
        (["compare", "one", "--steps", 9], "1 to 3"),
    ],
)
def test_mistakes_are_explained(folder: Path, words: list, message: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert run(*words) == 2
    assert message in capsys.readouterr().err
