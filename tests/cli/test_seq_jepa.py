"""seq-JEPA from the command line, in miniature: objects, a robot's frames, and a folder of pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from view_world import write_views

from worldjepa import cli
from worldjepa.recipes import from_pretrained

MODEL = ["--model.trunk", "conv", "--model.trunk-width", 4, "--model.action-embed", 4, "--model.hidden", 8]
MODEL += ["--model.layers", 1, "--model.observed", 2, "--model.num-heads", 2]
FIT = ["--debug", "--fit.batch-size", 4, "--fit.threads", 1, "--episodes.valid", 0.25]


def train(data: Path, out: Path, *words: object) -> dict:
    command = ["train", "seq_jepa", data, "--out", out, *FIT, *MODEL, *words]
    assert cli.main([str(word) for word in command]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 20
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert "valid/latent_cosine" in rows[-1]
    config = json.loads((out / "config.json").read_text())["config"]
    assert config["momentum_steps"] == 20, "the target's momentum rises over the training's steps"
    return config


def test_views_of_objects(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_views(tmp_path / "views.hdf5", objects=8, views=5, side=16)
    train(tmp_path / "views.hdf5", tmp_path / "run")
    assert f"worldjepa evaluate {tmp_path / 'run'} --suite equivariance; worldjepa report" in capsys.readouterr().out
    learner = from_pretrained(tmp_path / "run", recipe="seq_jepa")
    assert learner.model.predictor.action_dim == 4
    again = ["train", "--config", tmp_path / "run" / "config.json", "--resume"]
    assert cli.main([str(word) for word in again]) == 0


def test_a_robots_frames_and_actions(tmp_path: Path) -> None:
    kwargs = ["--kwargs", "obs_type=state+pixels", "image_size=16"]
    command = ["collect", "worldjepa/TwoRooms-v0", tmp_path / "play.hdf5", "--policy", "random", "--episodes", 4]
    assert cli.main([str(word) for word in [*command, *kwargs]]) == 0
    robot = ["--model.source", "recorded", "--model.stride", 2, "--model.normalization", "zscore"]
    config = train(tmp_path / "play.hdf5", tmp_path / "run", *robot)
    assert (config["source"], config["stride"]) == ("recorded", 2)
    assert from_pretrained(tmp_path / "run").model.predictor.action_dim == 4


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / "train" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / "train" / name / f"{i}.png")
    train(tmp_path / "pictures", tmp_path / "run", "--model.source", "augmentations")


def test_objects_with_too_few_views(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_views(tmp_path / "views.hdf5", objects=8, views=3, side=16)
    command = ["train", "seq_jepa", tmp_path / "views.hdf5", "--out", tmp_path / "run", "--fit.steps", 2]
    assert cli.main([str(word) for word in command]) == 2
    assert "7 of 7 objects have fewer than the 4 views of a sequence" in " ".join(capsys.readouterr().err.split())


def test_time_alone_leaves_the_momentum_open(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_views(tmp_path / "views.hdf5", objects=4, views=5, side=16)
    command = ["train", "seq_jepa", tmp_path / "views.hdf5", "--out", tmp_path / "run", "--fit.steps", "None"]
    assert cli.main([str(word) for word in [*command, "--fit.max-seconds", 5]]) == 2
    assert "give --model.momentum-steps" in " ".join(capsys.readouterr().err.split())
