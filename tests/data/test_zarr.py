"""Push-T style zarr: folder, zip, both versions, Push-T's names, damage, the real file."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from worldjepa.data import open_source, open_store

zarr = pytest.importorskip("zarr", reason='zarr is not installed: pip install "worldjepa[zarr]"')

ENDS = np.array([5, 6, 14])


def _pusht_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "action": rng.uniform(0, 512, (14, 2)).astype(np.float32),
        "state": rng.uniform(0, 512, (14, 5)).astype(np.float32),
        "keypoint": rng.uniform(0, 512, (14, 9, 2)).astype(np.float32),
        "n_contacts": np.zeros((14, 1), np.float32),
        "img": rng.integers(0, 256, (14, 8, 8, 3)).astype(np.float32),
    }


def _write(folder: Path, arrays: dict[str, np.ndarray], *, version: int = 2, ends: np.ndarray = ENDS) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_group(folder, mode="w", zarr_format=version)
        for name, value in arrays.items():
            array = root.create_array(
                f"data/{name}", shape=value.shape, chunks=(4, *value.shape[1:]), dtype=value.dtype
            )
            array[:] = value
        ends_array = root.create_array("meta/episode_ends", shape=ends.shape, dtype=ends.dtype)
        ends_array[:] = ends
    return folder


def _zipped(folder: Path, inside: str) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder if not inside else folder.parent, inside or None))


@pytest.mark.parametrize("form", ["folder", "zip", "zip of a folder"])
@pytest.mark.parametrize("version", [2, 3])
def test_pusht_gets_the_names_of_the_environments(tmp_path, form, version):
    arrays = _pusht_arrays()
    path = _write(tmp_path / "pusht.zarr", arrays, version=version)
    if form != "folder":
        path = _zipped(path, "pusht.zarr" if form == "zip of a folder" else "")
    source = open_source(path)
    assert (len(source), source.filters, source.spec.fps) == (3, {}, 10.0)
    assert (source.spec.action_low, source.spec.action_high) == ((0.0, 0.0), (512.0, 512.0))
    for index, (start, end) in enumerate(zip([0, *ENDS[:-1]], ENDS)):
        episode = source[index]
        assert episode.num_actions == episode.num_observations == end - start
        rows = slice(start, end)
        np.testing.assert_array_equal(episode.action, arrays["action"][rows])
        np.testing.assert_array_equal(episode.obs["agent_pos"], arrays["state"][rows, :2])
        np.testing.assert_array_equal(episode.obs["block_pose"], arrays["state"][rows, 2:])
        np.testing.assert_array_equal(episode.obs["keypoints"], arrays["keypoint"][rows].reshape(-1, 18))
        np.testing.assert_array_equal(episode.obs["image"], arrays["img"][rows])
        assert episode.obs["image"].dtype == np.uint8
        assert set(episode.obs) == {"agent_pos", "block_pose", "keypoints", "image"}
    source.close()


def test_other_arrays_keep_their_names(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        "action": rng.normal(size=(14, 7)),
        "robot0_eef_pos": rng.normal(size=(14, 3)),
        "camera/rgb": rng.integers(0, 256, (14, 8, 8, 3)).astype(np.uint8),
        "reward": np.arange(14.0),
        "gripper": np.arange(14, dtype=np.int64),
    }
    source = open_source(_write(tmp_path / "kitchen.zarr", arrays))
    episode = source[2]
    assert set(episode.obs) == {"robot0_eef_pos", "camera/rgb", "gripper"}
    np.testing.assert_array_equal(episode.obs["gripper"], np.arange(6, 14, dtype=np.float32)[:, None])
    np.testing.assert_array_equal(episode.obs["camera/rgb"], arrays["camera/rgb"][6:])
    assert episode.reward is not None
    assert episode.reward.tolist() == list(range(6, 14))
    source.close()


def test_the_store_of_a_zarr_folder_follows_its_chunks(tmp_path):
    arrays = _pusht_arrays()
    path = _write(tmp_path / "pusht.zarr", arrays)
    first = open_store(path)
    assert first.folder == tmp_path / "pusht.zarr.store"
    np.testing.assert_array_equal(first.arrays["obs/keypoints"], arrays["keypoint"].reshape(14, 18))
    arrays["action"][9] += 1
    _write(path, arrays)
    second = open_store(path)
    assert second.fingerprint != first.fingerprint
    np.testing.assert_array_equal(second.arrays["action"], arrays["action"])


def test_a_cut_zip_says_so(tmp_path):
    path = _zipped(_write(tmp_path / "pusht.zarr", _pusht_arrays()), "")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"not a complete zip file .*fetch it again"):
        open_source(path)


def test_a_damaged_chunk_is_named(tmp_path):
    path = _write(tmp_path / "pusht.zarr", _pusht_arrays())
    chunk = path / "data" / "state" / "1.0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(ValueError, match="chunk 1 of data/state is damaged"):
        open_source(path)


def test_another_zip_says_what_it_holds(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.txt").write_text("x")
    with pytest.raises(ValueError, match=r"holds no meta/episode_ends.*one\.txt"):
        open_source(_zipped(tmp_path / "photos", ""))


def test_another_zarr_says_what_it_holds(tmp_path):
    zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=2).create_group("weights")
    with pytest.raises(ValueError, match=r"expected data/\* and meta/episode_ends, found \['weights'\]"):
        open_source(tmp_path / "other.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends": np.array([5, 5, 14])}, "must rise from one episode to the next"),
        ({"ends": np.array([5, 6, 20])}, "says 20 steps, but these arrays have other lengths"),
        ({"drop": "action"}, r"no array data/action; it has \['img', 'keypoint'"),
        ({"img": 1.5}, r"whole numbers 0\.\.255"),
    ],
)
def test_inconsistent_files_are_refused(tmp_path, change, message):
    arrays = _pusht_arrays()
    arrays.pop(change.get("drop", ""), None)
    arrays["img"] = arrays["img"] * change.get("img", 1.0)
    path = _write(tmp_path / "pusht.zarr", arrays, ends=change.get("ends", ENDS))
    with pytest.raises(ValueError, match=message):
        open_source(path)


@pytest.mark.data
def test_real_pusht_demonstrations(data_dir):
    source = open_source(data_dir / "robot" / "pusht_cchi_v7_replay.zarr.zip")
    assert len(source) == 206
    assert {key: value.shape for key, value in source.spec.obs.items()} == {
        "agent_pos": (2,),
        "block_pose": (3,),
        "keypoints": (18,),
        "image": (96, 96, 3),
    }
    first, last = source[0], source[205]
    assert (first.num_actions, last.num_actions) == (161, 49)
    np.testing.assert_allclose(first.obs["block_pose"][0], [222.99382, 381.59903, 3.0079994])
    assert 60 < first.obs["image"].min() < first.obs["image"].max() == 255
    source.close()
