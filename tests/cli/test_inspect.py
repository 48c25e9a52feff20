"""What `worldjepa inspect` says of sound and of damaged data sets, against numpy."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from worldjepa import cli
from worldjepa.commands.summary import Running, summarize
from worldjepa.data.episodes import Episode, open_source
from worldjepa.data.robomimic import RobomimicWriter
from worldjepa.types import DataSpec, ObsSpec

SPEC = DataSpec(
    {"arm/angle": ObsSpec((2,), "float32"), "image": ObsSpec((4, 5, 3), "uint8")},
    action_dim=2,
    action_low=(-1.0, -1.0),
    action_high=(1.0, 1.0),
    fps=10.0,
    env={"env_name": "worldjepa/Push-v0", "type": 2, "env_kwargs": {}},
)


def episode(length: int, success: bool, rng: np.random.Generator) -> Episode:
    image = rng.integers(1, 255, (length + 1, 4, 5, 3), dtype=np.uint8)
    image[0] = 0
    action = rng.uniform(-1, 1, (length, 2)).astype(np.float32)
    action[1] = action[0]
    angle = rng.normal(size=(length + 1, 2)).astype(np.float32)
    return Episode({"arm/angle": angle, "image": image}, action, np.ones(length, np.float32), success=success, seed=3)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        names = [writer.append(episode(length, length > 5, rng)) for length in (5, 9, 16)]
        writer.write_mask("train", names[:2])
        writer.write_mask("valid", names[1:])
    return path


def test_running_statistics_are_numpys() -> None:
    rows = np.random.default_rng(1).normal(3.0, 0.01, (1000, 3))
    running = Running()
    for part in np.split(rows, [1, 10, 600]):
        running.add(part)
    np.testing.assert_allclose(running.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(running.std, rows.std(0), rtol=1e-9)
    np.testing.assert_array_equal(running.min, rows.min(0))
    np.testing.assert_array_equal(running.max, rows.max(0))


def test_the_counts_are_those_of_the_episodes(recording: Path) -> None:
    source = open_source(recording)
    found = summarize(source)
    episodes = [source[i] for i in range(3)]
    assert found.lengths == [5, 9, 16]
    assert found.with_last_frame == 3
    assert found.successes == [False, True, True]
    assert found.returns == [5.0, 9.0, 16.0]
    assert found.num_seeds == 3
    assert found.still_steps == 3
    assert found.plain_frames == {"image": 3}
    angles = np.concatenate([x.obs["arm/angle"] for x in episodes]).astype(np.float64)
    np.testing.assert_allclose(found.values["arm/angle"].mean, angles.mean(0), rtol=1e-6)
    pixels = np.concatenate([x.obs["image"] for x in episodes])
    np.testing.assert_allclose(found.values["image"].mean, pixels.mean((0, 1, 2)), rtol=1e-9)
    assert found.pixels["image"] == (pixels.min(), pixels.max())
    assert found.faults == {}


def test_a_sound_recording_is_described(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(recording)]) == 0
    output = capsys.readouterr().out
    for text in (
        "Robomimic",
        "worldjepa/Push-v0",
        "10 steps a second",
        "5 to 16, mean 10.0, median 9",
        "2 of 3 flagged",
        "arm/angle",
        "4x5x3",
        "3 of 33 frames are of one colour",
        "-1 to 1",
        "all within [-1, 1]",
        "train and valid share episodes",
        "no NaN, no infinite value",
    ):
        assert text in output, text


def test_a_damaged_episode_is_named_and_the_rest_is_still_described(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(recording, "r+") as file:
        file["data/demo_1/actions"][4, 1] = np.nan  # pyright: ignore[reportIndexIssue]
    assert cli.main(["inspect", str(recording)]) == 1
    output = capsys.readouterr().out
    assert "demo_1 cannot be used" in output
    assert "not finite" in output
    assert "5 to 16, mean 10.5" in output
    assert "no NaN" not in output


def test_actions_outside_the_space_are_pointed_out(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(recording, "r+") as file:
        file["data/demo_2/actions"][3, 0] = 1.5  # pyright: ignore[reportIndexIssue]
    assert cli.main(["inspect", str(recording)]) == 0
    output = capsys.readouterr().out
    assert "outside of the action space" in output
    assert "not within [-1, 1]" in output


def test_a_filter_or_a_number_of_episodes_narrows_it(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(recording), "--filter", "train"]) == 0
    assert "5 to 9, mean 7.0" in capsys.readouterr().out
    assert cli.main(["inspect", str(recording), "--episodes", "1"]) == 0
    assert "3 (1 read)" in capsys.readouterr().out
    assert cli.main(["inspect", str(recording), "--filter", "tests"]) == 2
    assert "no filter 'tests'" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_of_another_kind_is_one_clear_message(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demos.hdf5"
    path.write_bytes(content)
    assert cli.main(["inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert "neither an HDF5 nor a zip" in error
    assert "Traceback" not in error


def test_a_missing_file_is_one_clear_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(tmp_path / "none.hdf5")]) == 2
    assert "there is no" in capsys.readouterr().err


@pytest.mark.data
def test_the_real_door_demonstrations(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(data_dir / "robot" / "adroit_door_human_dapg.hdf5")]) == 0
    output = capsys.readouterr().out
    assert "AdroitHandDoor-v1" in output
    assert "6,729" in output
    assert "223 to 300" in output


def test_images_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/cat/a.png", "train/dog/b.png", "val/cat/c.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((8, 8), 50).convert("RGB").save(tmp_path / "images" / name)
    assert cli.main(["inspect", str(tmp_path / "images")]) == 0
    output = capsys.readouterr().out
    for text in (
        "Image",
        "2: cat, dog",
        "none: single images",
        "8x8x3",
        "valid",
        "images --model.source augmentations",
    ):
        assert text in output
    assert "repeat the action before" not in output
    (tmp_path / "images" / "val" / "cat" / "c.png").write_bytes(b"")
    assert cli.main(["inspect", str(tmp_path / "images")]) == 1
    assert "val/cat/c.png cannot be used" in capsys.readouterr().out
