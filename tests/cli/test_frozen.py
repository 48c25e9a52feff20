"""A frozen encoder of the user's own: named on the command line, and never imported because a run says so."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from worldjepa import cli
from worldjepa.commands.frozen import frozen_trunk, load_features, open_learner
from worldjepa.commands.run_data import fresh_learner, open_run_data

ENV = "worldjepa/TwoRooms-v0"
CODE = """
from torch import nn

number = 3
module = nn.Identity()


def patches():
    return nn.Conv2d(3, 4, 8, stride=8)


def wide(width):
    return patches()


def nothing():
    return None
"""
MODEL = ["--model.trunk", "features", "--model.tokens", "map", "--model.ffn-dim", 16, "--model.sigreg-slices", 8]
MODEL += ["--model.predictor", "causal", "--model.sliding", "--model.horizon", 1, "--model.history", 2]
MODEL += ["--model.dim", 16]
SMALL = ["--fit.steps", 3, "--fit.batch-size", 8, "--fit.threads", 1, "--episodes.valid", 0.25]
TOLD = ["--features", "own_encoder:patches"]


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """The user's folder: play, the module, and a world model on the frozen encoder."""
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "own_encoder.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        kwargs = ["--kwargs", "obs_type=state+pixels", "image_size=16"]
        assert run("collect", ENV, "play.hdf5", "--policy", "random", "--episodes", 8, *kwargs) == 0
        assert run("train", "ac_jepa", "play.hdf5", "--out", "one", *SMALL, *MODEL, *TOLD) == 0
        yield folder
    sys.modules.pop("own_encoder", None)


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_the_name_is_kept_and_the_encoder_is_not_learned(folder: Path) -> None:
    saved = json.loads((folder / "one" / "config.json").read_text())
    assert saved["features"] == "own_encoder:patches"
    torch.manual_seed(saved["fit"]["seed"])
    made = load_features("own_encoder:patches").state_dict()
    last = load_file(folder / "one" / "checkpoints" / "last" / "pretrained_model" / "model.safetensors")
    for name, value in made.items():
        assert torch.equal(last[f"model.encoder.trunks.image.{name}"], value)


def test_it_is_evaluated_and_imagined(folder: Path, tmp_path: Path) -> None:
    one = shutil.copytree(folder / "one", tmp_path / "one", symlinks=True)
    suite = ["--suite", "world-model", "--max-windows", 40, "--episodes", 1, "--plan-samples", 4, "--horizon", 10]
    assert run("evaluate", one, *suite, "--plan-iterations", 1, "--no-floors", *TOLD) == 0
    found = json.loads((one / "world_model.json").read_text())
    assert len(found["open_loop"]["latent"]["imagined"]) == 5
    assert {"encoder", "random init", "mean"} == set(found["probe"]["linear"])
    words = ["--episodes", 1, "--videos", 0, "--horizon", 10, "--plan-samples", 4, "--plan-iterations", 1]
    assert run("evaluate", one, *words, "--no-floors", *TOLD) == 0
    assert run("imagine", one, "--max-windows", 40, "--starts", 1, "--policy", one, *TOLD) == 0
    assert (one / "imagination" / "ac_jepa.json").is_file()
    assert run("compare", one) == 0
    assert run("report", one) == 0


def test_the_model_with_random_weights_has_the_same_frozen_encoder(folder: Path) -> None:
    learner = open_learner("one", "own_encoder:patches")
    fresh = fresh_learner(learner, open_run_data(Path("one")), seed=0)
    assert frozen_trunk(fresh) is frozen_trunk(learner)
    assert not frozen_trunk(fresh).training  # pyright: ignore[reportOptionalMemberAccess]
    learned = [name for name, x in learner.model.encoder.named_parameters() if x.requires_grad and x.ndim > 1]  # pyright: ignore[reportAttributeAccessIssue]
    assert learned
    for name in learned:
        a, b = (x.model.encoder.get_parameter(name) for x in (learner, fresh))  # pyright: ignore[reportAttributeAccessIssue]
        assert not torch.equal(a, b)


def test_a_training_is_continued_and_repeated_with_the_name_alone(folder: Path, capsys, tmp_path: Path) -> None:
    assert run("train", "--config", "one", "--resume") == 2
    assert "trained with --features 'own_encoder:patches': give it again" in capsys.readouterr().err
    assert run("train", "--config", "one", "--resume", *TOLD) == 0
    assert run("train", "--config", "one", "--resume", "--features", "own_encoder:nothing") == 2
    capsys.readouterr()
    assert run("train", "--config", "one", "--out", tmp_path / "again", *TOLD) == 0
    ours, theirs = (
        load_file(x / "checkpoints" / "last" / "pretrained_model" / "model.safetensors")
        for x in (tmp_path / "again", folder / "one")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "evil"],
        ["evaluate", "evil", "--suite", "world-model"],
        ["imagine", "evil"],
        ["collect", ENV, "played.hdf5", "--policy", "evil", "--episodes", "1"],
        ["train", "--config", "evil", "--out", "again"],
    ],
)
def test_what_a_run_names_is_not_imported(folder: Path, capsys, words: list[str]) -> None:
    if not (folder / "evil").exists():
        evil = shutil.copytree(folder / "one", folder / "evil", symlinks=True)
        config = json.loads((evil / "config.json").read_text())
        (evil / "config.json").write_text(json.dumps(config | {"features": "wicked:run"}))
        (folder / "wicked.py").write_text("raise SystemExit('imported')\n")
    assert run(*words) == 2
    assert "--features 'wicked:run': give it again" in capsys.readouterr().err
    assert "wicked" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_encoder", "expected --features package.module:function"),
        ("own_encoder.patches", "expected --features package.module:function"),
        ("own encoder:patches", "expected --features package.module:function"),
        ("no_such_module:patches", "there is no module 'no_such_module'"),
        ("own_encoder.inner:patches", "there is no module 'own_encoder.inner'"),
        ("own_encoder:missing", "has no 'missing'"),
        ("own_encoder:number", "it is int"),
        ("own_encoder:module", "it is Identity"),
        ("own_encoder:wide", r"it takes \(width\)"),
        ("own_encoder:nothing", "it returned NoneType"),
    ],
)
def test_names_of_something_else_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_features(name)


def test_what_the_module_lacks_is_not_taken_for_the_module(folder: Path) -> None:
    (folder / "needy.py").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_features("needy:encoder")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "ac_jepa", "play.hdf5", "--out", "two", *MODEL], "needs a frozen encoder"),
        (["train", "ac_jepa", "play.hdf5", "--out", "two", *TOLD], "only --model.trunk features"),
        (["train", "bc", "play.hdf5", "--out", "two", *TOLD], "only --model.trunk features"),
        (["evaluate", "random", "--env", ENV, "--out", "three", *TOLD], "no model here has a frozen encoder"),
        (["evaluate", "one/checkpoints/last", "--out", "three"], "say which function makes it"),
    ],
)
def test_encoders_that_are_missing_or_too_many(capsys, words: list, message: str) -> None:
    assert run(*words) == 2
    assert message in capsys.readouterr().err
