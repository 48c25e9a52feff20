"""Views from the command line, in miniature: train, evaluate the features, compare, report."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from view_world import write_views

from worldjepa import cli
from worldjepa_policies import load_policy

MODEL = ["--model.trunk", "conv", "--model.trunk-width", 4, "--model.hidden", 16]
SEQUENCE = [*MODEL, "--model.layers", 1, "--model.action-embed", 8, "--model.difference-keys", "floor_hue", "light_hue"]
SMALL = ["--fit.steps", 3, "--fit.batch-size", 8, "--fit.threads", 1, "--episodes.valid", 0.3]
SUITE = ["--suite", "equivariance", "--draws", 2, "--probe-epochs", 3, "--probe-hidden", 8, "--lengths", 1, 3]


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views of objects, and two runs that saw two and three of them at a time."""
    folder = tmp_path_factory.mktemp("turning")
    write_views(folder / "objects.hdf5", objects=24, views=8, side=16)
    for observed in (2, 3):
        words = ["--out", folder / f"m{observed}", "--model.observed", observed]
        assert run("train", "seq_jepa", folder / "objects.hdf5", *words, *SMALL, *SEQUENCE) == 0
    assert run("evaluate", folder / "m2", folder / "m3", *SUITE) == 0
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_suite_writes_one_record_a_run(folder: Path) -> None:
    for observed in (2, 3):
        found = read(folder / f"m{observed}" / "equivariance.json")
        assert (found["recipe"], found["observed"], found["steps"]) == ("seq_jepa", observed, 3)
        assert found["num_objects"] == {"train": 17, "test": 7}
        assert found["groups"] == ["rotation", "floor_hue", "light_hue"]
        assert set(found["accuracy"]) == {"aggregate", "encoder", "random init", "pixels"}
        assert all(set(row) == {"1", "3"} for row in found["accuracy"].values())
        for kind in ("relative", "individual"):
            assert set(found[kind]) == {"encoder", "random init", "pixels"}
            assert all(set(row) == set(found["groups"]) for row in found[kind].values())
        assert set(found["path_integration"]) == {"all", "no actions", "no views"}
        assert set(found["retrieval"]) == {"1", "3"}
        assert set(found["retrieval"]["3"]["model"]) == {"mrr", "hit@1", "hit@5", "pre"}
        assert set(found["action_leakage"]) == set(found["groups"])
        assert 1 <= found["collapse"]["rank"] <= found["collapse"]["dim"]
        assert found["num_views"] == 8
    assert (folder / "m2" / "equivariance.png").stat().st_size > 10_000


def test_a_pose_that_is_not_told_is_read_and_floors_are_left_out(tmp_path: Path) -> None:
    write_views(tmp_path / "objects.hdf5", objects=24, views=8, side=16)
    words = ["--out", tmp_path / "run", *SMALL, *SEQUENCE[: SEQUENCE.index("--model.difference-keys")]]
    assert run("train", "seq_jepa", tmp_path / "objects.hdf5", *words) == 0
    assert run("evaluate", tmp_path / "run", *SUITE, "--state-keys", "light_hue", "--no-floors") == 0
    found = read(tmp_path / "run" / "equivariance.json")
    assert found["groups"] == ["rotation", "light_hue"]
    assert set(found["accuracy"]) == {"aggregate", "encoder"}
    assert set(found["relative"]["encoder"]) == set(found["path_integration"]["all"]["1"]) == set(found["groups"])


def test_features_are_not_played(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for words in (
        ["evaluate", folder / "m2"],
        ["evaluate", folder / "m2", "--suite", "world-model"],
        ["imagine", folder / "m2"],
    ):
        assert run(*words) == 2
        said = "".join(capsys.readouterr().err.split())
        assert f"neitheractnorimagine:worldjepaevaluate{folder}/m2--suiteequivariance" in said
    with pytest.raises(ValueError, match="'seq_jepa', whose features of views neither act nor imagine"):
        load_policy(folder / "m2")


def test_the_same_seed_gives_the_same_record(folder: Path, tmp_path: Path) -> None:
    before = read(folder / "m3" / "equivariance.json")
    assert run("evaluate", folder / "m3", *SUITE, "--out", tmp_path) == 0
    assert read(folder / "m3" / "equivariance.json") == before
    assert (tmp_path / "equivariance.png").is_file()


def test_runs_are_compared_and_reported(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("compare", folder / "m2", folder / "m3") == 0
    text = capsys.readouterr().out
    for line in ("views in training", "top-1, one view", "top-1, aggregate of 3", "of rotation", "MRR of 8 views"):
        assert line in text
    assert run("report", folder / "m2", folder / "m3") == 0
    page = (folder / "m2" / "report.html").read_text()
    assert "views at inference" in page
    assert "top-1, aggregate of 3" in page
    assert "Could not be read" not in page
    assert "worldjepa imagine" not in page


def test_a_baseline_is_read_in_the_same_way(folder: Path) -> None:
    """SIE predicts from one view, and has no aggregate: its views are averaged."""
    words = ["--model.method", "sie", *MODEL, "--model.projector", 8, 8, "--model.difference-keys", "floor_hue"]
    assert run("train", "view_pairs", folder / "objects.hdf5", "--out", folder / "sie", *SMALL, *words) == 0
    assert run("evaluate", folder / "sie", *SUITE) == 0
    found = read(folder / "sie" / "equivariance.json")
    assert (found["method"], found["observed"]) == ("sie", 1)
    assert set(found["accuracy"]) == {"encoder", "random init", "pixels"}
    assert found["path_integration"] is None
    assert found["action_leakage"] is None
    assert set(found["retrieval"]) == {"1"}


def test_recorded_actions_join_consecutive_frames(folder: Path) -> None:
    """A sum of actions is no pose, so none is read from single views."""
    words = ["--model.source", "recorded", "--model.normalization", "zscore", *SEQUENCE]
    assert run("train", "seq_jepa", folder / "objects.hdf5", "--out", folder / "robot", *SMALL, *words) == 0
    assert run("evaluate", folder / "robot", *SUITE) == 0
    found = read(folder / "robot" / "equivariance.json")
    assert found["groups"] == ["action"]
    assert found["individual"] is None
    assert found["num_views"] == 4
    assert (
        found["path_integration"]["no views"]["1"]["action"]["estimate"]
        > found["relative"]["pixels"]["action"]["estimate"]
    )


def test_views_that_are_made_of_pictures(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    words = ["--model.source", "augmentations", *MODEL, "--model.layers", 1, "--model.action-embed", 8]
    assert run("train", "seq_jepa", tmp_path / "pictures", "--out", tmp_path / "run", *SMALL, *words) == 0
    assert run("evaluate", tmp_path / "run", *SUITE) == 0
    found = read(tmp_path / "run" / "equivariance.json")
    assert found["groups"] == ["crop", "jitter", "blur"]
    assert found["num_classes"] == 2
    assert set(found["retrieval"]["3"]["model"]) == {"mrr", "hit@1", "hit@5"}


def test_a_report_names_the_suite_that_is_missing(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((folder / "m2" / name).read_bytes())
    assert run("report", tmp_path) == 0
    assert "--suite equivariance" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["m2", "--lengths", 8], "8 of each object are there"),
        (["m2", "--views", 9], "fewer than the 9 views"),
        (["m2", "--max-objects", 2, "--lengths", 1], "fewer than the 3 classes"),
        (["m2", "--lengths", 0], "at least 1"),
        (["nowhere"], "no run folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    folder: Path, words: list, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    assert run("evaluate", *words, "--suite", "equivariance", "--probe-epochs", 1) != 0
    assert message in " ".join(capsys.readouterr().err.split())
