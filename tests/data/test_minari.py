"""Minari folders, written here as Minari 0.5 writes them (compared once with files of its own writer)."""

import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from worldjepa.data import open_source, open_store

BOX3 = {"type": "Box", "dtype": "float64", "shape": [3], "low": [-1.0] * 3, "high": [1.0] * 3}
CAMERA = {"type": "Box", "dtype": "uint8", "shape": [32, 40, 3], "low": 0, "high": 255}
ACTION = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-2.0, -1.0], "high": [2.0, 1.0]}


def _jpeg(frame: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG")
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def _decoded(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(_jpeg(frame).tobytes())))


def _write(folder: Path, space: dict, episodes: list[dict], *, action: dict = ACTION, **metadata) -> Path:
    (folder / "data").mkdir(parents=True)
    spaces = {"observation_space": json.dumps(space), "action_space": json.dumps(action)}
    (folder / "data" / "metadata.json").write_text(json.dumps({**spaces, "data_format": "hdf5", **metadata}))
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update(id=number, total_steps=len(episode["actions"]), seed=100 + number)
            for name, value in episode.items():
                if isinstance(value, list):  # JPEG byte strings
                    equal = len({len(frame) for frame in value}) == 1
                    dtype = None if equal else h5py.vlen_dtype(np.uint8)
                    group.create_dataset(name, data=np.stack(value) if equal else value, dtype=dtype)
                else:
                    group[name] = value
    return folder


def _episode(rng: np.random.Generator, num: int, **observations) -> dict:
    flags = np.arange(num) == num - 1
    return {
        **{f"observations{name}": value for name, value in observations.items()},
        "actions": rng.uniform(-1, 1, (num, 2)).astype(np.float32),
        "rewards": rng.normal(size=num),
        "terminations": flags,
        "truncations": ~flags,
    }


def test_a_bare_space_becomes_state(tmp_path):
    rng = np.random.default_rng(0)
    episodes = []
    for num in [4] * 9 + [6, 2]:
        episode = _episode(rng, num)
        episodes.append({"observations": rng.normal(size=(num + 1, 3)), **episode})
    path = _write(tmp_path / "reach-v0", BOX3, episodes, env_spec=json.dumps({"id": "Reach-v0", "kwargs": {"a": 1}}))
    source = open_source(path)
    assert source.names == [f"episode_{i}" for i in range(11)], "by number, not by name"
    assert source.spec.env == {"id": "Reach-v0", "kwargs": {"a": 1}}
    assert (source.spec.action_low, source.spec.action_high) == ((-2.0, -1.0), (2.0, 1.0))
    for written, episode in zip(episodes, source, strict=True):
        np.testing.assert_array_equal(episode.obs["state"], written["observations"].astype(np.float32))
        np.testing.assert_array_equal(episode.action, written["actions"])
        np.testing.assert_array_equal(episode.reward, written["rewards"].astype(np.float32))
        np.testing.assert_array_equal(episode.terminated, written["terminations"])
        np.testing.assert_array_equal(episode.truncated, written["truncations"])
        assert episode.num_observations == episode.num_actions + 1
    assert (source[3].seed, source[3].success) == (103, None)
    source.close()


@pytest.mark.parametrize("jpeg", [True, False])
def test_nested_spaces_and_images(tmp_path, jpeg):
    rng = np.random.default_rng(1)
    space = {
        "type": "Dict",
        "subspaces": {
            "camera": CAMERA,
            "robot": {"type": "Tuple", "subspaces": [BOX3, {"type": "Dict", "subspaces": {"velocity": BOX3}}]},
            "mode": {"type": "Discrete", "dtype": "int64", "start": 0, "n": 3},
        },
    }
    smooth = np.kron(rng.integers(0, 255, (6, 4, 5, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    observations = {
        "/camera": [_jpeg(frame) for frame in smooth] if jpeg else smooth,
        "/robot/_index_0": rng.normal(size=(6, 3)),
        "/robot/_index_1/velocity": rng.normal(size=(6, 3)),
        "/mode": np.array([0, 1, 2, 2, 1, 0]),
    }
    episode = {**_episode(rng, 5, **observations), "infos/success": np.array([0, 0, 0, 1, 0, 0])}
    path = _write(tmp_path / "pick-v0", space, [episode], jpeg_encoding=jpeg)
    store = open_store(path)
    with open_source(path / "data") as source:
        read = source[0]
    assert set(read.obs) == {"camera", "robot/0", "robot/1/velocity", "mode"}
    expected = np.stack([_decoded(frame) for frame in smooth]) if jpeg else smooth
    np.testing.assert_array_equal(read.obs["camera"], expected)
    np.testing.assert_array_equal(read.obs["mode"][:, 0], observations["/mode"])
    np.testing.assert_array_equal(store.arrays["obs/camera"], expected)
    velocity = observations["/robot/_index_1/velocity"].astype(np.float32)
    np.testing.assert_array_equal(store.steps["obs", "robot", "1", "velocity"].numpy(), velocity)
    assert read.success is True
    assert read.step_success is not None
    assert read.step_success.tolist() == [False, False, True, False, False], "the first info is of the reset"
    np.testing.assert_array_equal(store.arrays["success"], [*read.step_success, False])


def test_jpegs_of_equal_length_are_a_plain_table(tmp_path):
    frame = np.full((32, 40, 3), 77, np.uint8)
    observations = {"/camera": [_jpeg(frame)] * 3}
    space = {"type": "Dict", "subspaces": {"camera": CAMERA}}
    path = _write(tmp_path / "still-v0", space, [_episode(np.random.default_rng(0), 2, **observations)])
    with open_source(path) as source:
        np.testing.assert_array_equal(source[0].obs["camera"], np.stack([_decoded(frame)] * 3))


def test_grey_images_get_a_channel(tmp_path):
    grey = {**CAMERA, "shape": [32, 40]}
    frames = np.arange(3 * 32 * 40).reshape(3, 32, 40).astype(np.uint8)
    episode = {"observations": [_jpeg(frame) for frame in frames], **_episode(np.random.default_rng(0), 2)}
    with open_source(_write(tmp_path / "grey-v0", grey, [episode])) as source:
        assert source.spec.obs["image"].shape == (32, 40, 1)
        assert source.spec.obs["image"].kind == "image"
        np.testing.assert_array_equal(source[0].obs["image"][2, :, :, 0], _decoded(frames[2]))


def test_discrete_actions_become_one_number(tmp_path):
    action = {"type": "Discrete", "dtype": "int64", "start": 0, "n": 2}
    episode = {
        "observations": np.zeros((4, 3)),
        **_episode(np.random.default_rng(0), 3),
        "actions": np.array([1, 0, 1]),
    }
    with open_source(_write(tmp_path / "cartpole-v0", BOX3, [episode], action=action)) as source:
        assert source[0].action.tolist() == [[1.0], [0.0], [1.0]]
        assert (source.spec.action_low, source.spec.action_high) == ((0.0,), (1.0,))


def test_missing_metadata_is_named(tmp_path):
    path = _write(
        tmp_path / "x-v0", BOX3, [{"observations": np.zeros((3, 3)), **_episode(np.random.default_rng(0), 2)}]
    )
    (path / "data" / "metadata.json").unlink()
    with pytest.raises(ValueError, match=r"metadata.json is missing.*fetch the data set again"):
        open_source(path)


def test_text_spaces_are_refused(tmp_path):
    space = {"type": "Dict", "subspaces": {"mission": {"type": "Text"}}}
    episode = _episode(np.random.default_rng(0), 2, **{"/mission": np.array([b"go", b"go", b"go"])})
    with pytest.raises(ValueError, match=r"mission/? is a Text space, which holds no numbers"):
        open_source(_write(tmp_path / "text-v0", space, [episode]))


def test_an_absent_entry_is_named(tmp_path):
    space = {"type": "Dict", "subspaces": {"a": BOX3, "b": BOX3}}
    episode = _episode(np.random.default_rng(0), 2, **{"/a": np.zeros((3, 3))})
    with pytest.raises(ValueError, match=r"the space says 'b' is there, the file has \['a'\]"):
        open_source(_write(tmp_path / "gap-v0", space, [episode]))


def test_a_damaged_image_is_named(tmp_path):
    frames = [_jpeg(np.full((32, 40, 3), value, np.uint8)) for value in (0, 100, 200)]
    frames[1] = frames[1][:40]
    space = {"type": "Dict", "subspaces": {"camera": CAMERA}}
    path = _write(tmp_path / "cut-v0", space, [_episode(np.random.default_rng(0), 2, **{"/camera": frames})])
    with pytest.raises(ValueError, match="image 1 of /episode_0/observations/camera is damaged"):
        open_source(path)
