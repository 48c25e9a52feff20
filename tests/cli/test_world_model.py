"""A world model from the command line, in miniature: train, imagine, evaluate, compare, report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from point_world import SPEC, point_statistics

from worldjepa import cli
from worldjepa.evaluate.statistics import wilson
from worldjepa.evaluate.world_model import change_report, open_loop_steps
from worldjepa.recipes import ac_jepa, make_learner

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
    aim = ["--model.dim", 8, "--model.image-keys", "image", "--model.trunk-width", 4]
    assert run("train", "gcbc", folder / "play.hdf5", "--out", folder / "aim", *SMALL, *aim) == 0
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
    assert set(planning["policies"]) == {"ac_jepa", "copy_latent", "random", "noop", "expert"}
    assert planning["planner"]["reduce"] == "sum"
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
    for name, change in varied["change"].items():
        assert change["rate"] == varied["policies"][name]["rate"] - planning["policies"][name]["rate"]
        assert -1 <= change["low"] <= change["rate"] <= change["high"] <= 1
    assert set(varied["change"]) == set(varied["policies"])


def test_runs_are_compared_side_by_side(folder: Path, capsys: pytest.CaptureFixture) -> None:
    other = shutil.copytree(folder / "one", folder / "other")
    assert run("compare", folder / "one", other) == 0
    text = capsys.readouterr().out
    for line in ("success", "ms a plan", "open loop +5, imagined", "rank of the latents", "change, agent_color varied"):
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


def test_spread_and_judgement_of_plans_are_chosen_and_a_short_open_loop_too(folder: Path) -> None:
    other = shutil.copytree(folder / "one", folder / "wide")
    words = ["--plan-std", 1.5, "--plan-reduce", "last", "--open-loop", 2, "--no-floors"]
    assert run("evaluate", other, "--suite", "world-model", "--max-windows", 60, *PLAN, *words) == 0
    found = read(other / "world_model.json")
    assert (found["planning"]["planner"]["std"], found["planning"]["planner"]["reduce"]) == (1.5, "last")
    assert set(found["planning"]["policies"]) == {"ac_jepa"}
    assert len(found["open_loop"]["probe"]["imagined"]) == 2


def test_a_model_that_slides_is_imagined_as_far_as_it_is_planned_with(folder: Path) -> None:
    sliding = [*MODEL, "--model.horizon", 1, "--model.history", 2, "--model.sliding"]
    assert run("train", "ac_jepa", folder / "play.hdf5", "--out", folder / "sliding", *SMALL, *sliding) == 0
    suite = ["--suite", "world-model", "--max-windows", 60, "--no-floors", *PLAN]
    assert run("evaluate", folder / "sliding", *suite) == 0
    found = read(folder / "sliding" / "world_model.json")
    assert found["planning"]["planner"]["horizon"] == 5
    assert len(found["open_loop"]["latent"]["imagined"]) == 5


@pytest.mark.parametrize(
    ("num_rows", "wanted", "plan", "expected"),
    [(100, None, None, 5), (9, None, None, 3), (4, None, None, 1), (100, None, 8, 8), (100, 2, 8, 2)],
)
def test_an_open_loop_is_as_long_as_a_plan_where_episodes_are(num_rows, wanted, plan, expected) -> None:
    config = ac_jepa.Config(
        state_keys=("place/x",), horizon=1, history=2, stride=2, dim=16, predictor_layers=1, sliding=True
    )
    learner = make_learner("ac_jepa", config, SPEC, point_statistics())
    assert open_loop_steps(learner, num_rows, wanted, plan) == expected


def test_the_change_has_newcombes_interval() -> None:
    """56 of 70 against 48 of 80, as in Newcombe (1998), table II (a): 0.0524 to 0.3339."""
    rates = [wilson(56, 70), wilson(48, 80)]
    parts = [{"policies": {"one": {"rate": x.estimate, "low": x.low, "high": x.high}}} for x in rates]
    found = change_report(*parts)["one"]
    assert [found[x] for x in ("rate", "low", "high")] == pytest.approx([0.2, 0.0524, 0.3339], abs=1e-4)
    assert change_report(parts[0], {"policies": {}}) == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_suite_says_the_same_on_a_gpu(folder: Path) -> None:
    other = shutil.copytree(folder / "one", folder / "gpu")
    suite = ["--suite", "world-model", "--max-windows", 60, "--no-floors", "--device", "cuda"]
    assert run("evaluate", other, *suite, *PLAN) == 0
    ours, theirs = (read(x / "world_model.json") for x in (other, folder / "one"))
    for kind in ("probe", "latent"):
        one, two = ours["open_loop"][kind]["imagined"], theirs["open_loop"][kind]["imagined"]
        assert one == pytest.approx(two, rel=1e-2)
    assert ours["collapse"]["rank"] == pytest.approx(theirs["collapse"]["rank"], rel=1e-2)


@pytest.mark.parametrize("name", ["one", "aim"])
def test_policies_with_goals_act_in_imagination(folder: Path, name: str) -> None:
    words = ["--max-windows", 60, "--starts", 1, "--policy", folder / name]
    assert run("imagine", folder / "one", *words) == 0
    recipe = {"one": "ac_jepa", "aim": "gcbc"}[name]
    assert read(folder / "one" / "imagination" / f"{recipe}.json")["num_windows"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "one", "--plan-beta", 1], "--planner cem has no --plan-beta"),
        (["evaluate", "one", "--suite", "world-model", "--open-loop", 4], "imagination of 4"),
        (["evaluate", "one", "--suite", "world-model", "--open-loop", 0], "at least one block"),
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
