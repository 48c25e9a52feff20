"""From demonstrations to a report by the commands alone, in miniature: every file they promise is there and agrees."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worldjepa import cli

ENV = "worldjepa/Reach-v0"
SMALL = [
    "--fit.steps",
    "4",
    "--fit.batch-size",
    "8",
    "--fit.log-every",
    "2",
    "--fit.threads",
    "1",
    "--fit.monitor-every",
    "2",
]
MODEL = ["--model.dim", "16", "--model.ffn-dim", "16", "--model.chunk", "4", "--model.horizon", "4"]


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, an ACT-JEPA run, a BC run and everything that is made of them."""
    folder = tmp_path_factory.mktemp("pipeline")
    demos, one, two = folder / "demos.hdf5", folder / "one", folder / "two"
    assert run("collect", ENV, demos, "--episodes", 8, "--noise", "0.1", "--num-envs", "2") == 0
    assert run("train", "act_jepa", demos, "--out", one, *SMALL, *MODEL, "--episodes.valid", "0.25") == 0
    assert run("train", "bc", demos, "--out", two, *SMALL, "--model.dim", "8", "--episodes.valid", "0.25") == 0
    assert run("evaluate", one, two, "expert", "--episodes", 3, "--videos", 0, "--action-steps", 2) == 0
    assert run("imagine", one, two, "--max-windows", 200) == 0
    assert run("report", one, two, "--title", "A small run") == 0
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def assert_same_weights(one: Path, two: Path) -> None:
    first, second = (
        load_file(x / "checkpoints" / "last" / "pretrained_model" / "model.safetensors") for x in (one, two)
    )
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0, msg=name)


def test_the_collection_is_what_was_asked_for(folder: Path) -> None:
    with h5py.File(folder / "demos.hdf5") as file:
        assert len(file["data"]) == 8  # pyright: ignore[reportArgumentType]
        assert json.loads(str(file["data"].attrs["env_args"]))["env_name"] == ENV


def test_the_configuration_says_what_was_done(folder: Path) -> None:
    config = read(folder / "one" / "config.json")
    assert config["recipe"] == "act_jepa"
    assert (config["config"]["dim"], config["config"]["chunk"], config["fit"]["steps"]) == (16, 4, 4)
    roles = config["data"]["episodes"]
    assert (len(roles["train"]), len(roles["valid"]), len(roles["unlabelled"])) == (6, 2, 0)
    assert not set(roles["train"]) & set(roles["valid"])
    assert config["spec"]["env"]["env_name"] == ENV
    assert {"python", "torch", "worldjepa"} <= set(config["versions"])


def test_training_logs_losses_held_out_losses_and_the_collapse_monitor(folder: Path) -> None:
    rows = [json.loads(x) for x in (folder / "one" / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in rows] == [2, 4]
    assert {"loss", "lr", "time_s", "collapse/std", "collapse/rank", "valid/loss", "valid/action_l1"} <= set(rows[-1])
    assert np.isfinite([x["loss"] for x in rows]).all()


def test_every_policy_has_the_same_starts_and_floors_stand_beside(folder: Path) -> None:
    found = {x.stem: read(x) for x in (folder / "one" / "evaluations").glob("*.json")}
    assert set(found) == {"act_jepa", "bc", "expert", "random", "noop"}
    assert len({x["manifest"]["sha256"] for x in found.values()}) == 1
    assert all(x["num_episodes"] == 3 for x in found.values())
    assert found["expert"]["success"]["rate"] == 1.0
    assert found["noop"]["success"]["rate"] == 0.0
    (starts,) = (folder / "one" / "starts").glob("*.json")
    assert read(starts)["sha256"] == found["bc"]["manifest"]["sha256"]


def test_the_comparison_is_paired(folder: Path) -> None:
    pairs = read(folder / "one" / "comparison.json")["pairs"]
    assert {frozenset((x["a"], x["b"])) for x in pairs} >= {
        frozenset(("act_jepa", "bc")),
        frozenset(("act_jepa", "noop")),
    }


def test_a_second_evaluation_keeps_the_starts_and_the_earlier_policies(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    before = {x.name: x.read_text() for x in (folder / "one" / "evaluations").glob("*.json")}
    assert run("evaluate", folder / "one", "--episodes", 3, "--videos", 0, "--no-floors", "--action-steps", 4) == 0
    after = read(folder / "one" / "evaluations" / "act_jepa.json")
    assert after["manifest"]["sha256"] == json.loads(before["bc.json"])["manifest"]["sha256"]
    assert "Expert" in capsys.readouterr().out


def test_the_probe_has_its_floors_and_the_imagination_its_copy(folder: Path) -> None:
    models = {x["model"]: x["rmse"] for x in read(folder / "one" / "probe.json")["rows"]}
    assert set(models) == {"act_jepa", "bc", "random init", "raw state linear", "copy"}
    assert min(models.values()) > 0
    imagined = read(folder / "one" / "imagination.json")
    assert imagined["copy_rmse"] > 0
    assert imagined["num_windows"] > 0
    assert len(imagined["names"]) == len(imagined["starts"][0]["real"][0])
    assert read(folder / "one" / "probe.json")["horizon"] == 4


def test_a_recipe_without_a_predictor_is_probed_and_says_so(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("imagine", folder / "two", "--horizon", 3, "--max-windows", 100) == 0
    assert "nothing to imagine" in capsys.readouterr().out
    assert not (folder / "two" / "imagination.json").exists()


def test_the_report_is_one_file_with_its_title(folder: Path) -> None:
    page = (folder / "one" / "report.html").read_text()
    assert "A small run" in page
    assert len(page) > 20_000


def test_a_run_is_not_overwritten_and_resuming_a_finished_one_changes_nothing(
    folder: Path, tmp_path: Path, capsys
) -> None:
    demos, one = folder / "demos.hdf5", folder / "one"
    assert run("train", "act_jepa", demos, "--out", one, *SMALL, *MODEL, "--episodes.valid", "0.25") == 2
    assert "--resume" in capsys.readouterr().err
    before = shutil.copytree(one, tmp_path / "before", symlinks=True)
    assert run("train", "--config", one / "config.json", "--resume") == 0
    assert_same_weights(before, one)
    assert run("train", "--config", one, "--resume", "--model.dim", "32") == 2
    assert "another config" in capsys.readouterr().err


def test_a_saved_configuration_makes_the_same_run_again(folder: Path, tmp_path: Path) -> None:
    assert run("train", "--config", folder / "one" / "config.json", "--out", tmp_path / "again") == 0
    assert_same_weights(folder / "one", tmp_path / "again")
    before, after = read(folder / "one" / "config.json"), read(tmp_path / "again" / "config.json")
    assert {**before, "command": None} == {**after, "command": None}


def test_debug_makes_a_short_run(folder: Path, tmp_path: Path) -> None:
    words = [*SMALL[2:], "--model.dim", "8", "--debug", "--fit.steps", "100000"]
    assert run("train", "bc", folder / "demos.hdf5", "--out", tmp_path / "short", *words) == 0
    assert read(tmp_path / "short" / "config.json")["fit"]["steps"] == 20


def test_fewer_demonstrations_and_unlabelled_ones(folder: Path, tmp_path: Path) -> None:
    words = [*SMALL, *MODEL, "--episodes.valid", "0.25"]
    demos = folder / "demos.hdf5"
    assert run("train", "act_jepa", demos, "--out", tmp_path / "few", *words, "--episodes.num-demos", 3) == 0
    assert len(read(tmp_path / "few" / "config.json")["data"]["episodes"]["train"]) == 3
    with h5py.File(demos) as file:
        names = sorted(file["data"])  # pyright: ignore[reportArgumentType]
    marked = tmp_path / "marked.hdf5"
    marked.write_bytes(demos.read_bytes())
    with h5py.File(marked, "r+") as file:
        file["mask/failed"] = np.array(names[:4], dtype="S")
    assert (
        run("train", "act_jepa", marked, "--out", tmp_path / "u", *words, "--episodes.unlabelled-filter", "failed") == 0
    )
    roles = read(tmp_path / "u" / "config.json")["data"]["episodes"]
    assert set(roles["unlabelled"]) == set(names[:4]) - set(roles["valid"])
    assert not set(roles["unlabelled"]) & set(roles["train"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "act_jpea", "x.hdf5"], "choose one of act_jepa, act, bc"),
        (["train", "act_jepa", "none.hdf5"], "there is no none.hdf5"),
        (["train", "bc", "{demos}", "--preset", "huge"], "no preset 'huge'"),
        (["train", "bc", "{demos}", "--out", "{tmp}/a", "--model.state-keys", "arms"], "'arms'"),
        (["train", "bc", "{demos}", "--out", "{tmp}/b", "--episodes.num-demos", "99"], "must lie in 1.."),
        (["train", "bc", "{demos}", "--out", "{tmp}/c", "--episodes.unlabelled-filter", "no"], "no filter 'no'"),
        (["train", "bc", "{demos}", "--out", "{tmp}/d", "--fit.steps", "0"], "steps must be positive"),
        (["evaluate", "random", "--env", "worldjepa/Reach-v0"], "--out FOLDER"),
        (["evaluate", "{tmp}/none"], "no run folder"),
        (["evaluate", "random", "--env", "worldjepa/Raech-v0", "--out", "{tmp}/e"], "Raech"),
        (["evaluate", "random", "--out", "{tmp}/e"], "--env"),
        (["collect", "worldjepa/Reach-v0", "{demos}"], "exists"),
        (["collect", "worldjepa/Reach-v0", "{tmp}/f.hdf5", "--kwargs", "pixels"], "name=value"),
        (["collect", "worldjepa/Reach-v0", "{tmp}/f.hdf5", "--policy", "exprt"], "expert"),
        (["collect", "worldjepa/Reach-v0", "{tmp}/f.hdf5", "--hold", "3"], "--policy random"),
        (["imagine", "{tmp}/none"], "none"),
        (["report", "{tmp}/none"], "run folder"),
        (["convert", "{demos}", "{demos}"], "exists"),
    ],
)
def test_a_users_mistake_is_one_message_that_says_what_to_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], message: str
) -> None:
    words = [x.format(demos=folder / "demos.hdf5", tmp=tmp_path) for x in words]
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
