"""The store: exact content, converted once, anew when the source changes, never half."""

import errno
import json
import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from forked import Forked
from full_disk import largest_file, mounted
from recordings import SPEC, assert_same, make_episode, make_full_episode
from tensordict import TensorDict

from worldjepa.data import RobomimicSource, RobomimicWriter, Store, convert, open_store
from worldjepa.data.fingerprint import stamp
from worldjepa.types import DataSpec, ObsSpec

LENGTHS = [7, 1, 12, 3, 5]


def _record(path: Path, lengths=LENGTHS, last: bool = True, spec: DataSpec = SPEC) -> Path:
    with RobomimicWriter(path, spec) as writer:
        for number, length in enumerate(lengths):
            writer.append(make_full_episode(length, number, last=last, spec=spec))
        writer.write_mask("train", ["demo_0", "demo_2"])
    return path


@pytest.fixture
def recorded(tmp_path) -> Path:
    return _record(tmp_path / "demos.hdf5")


@pytest.mark.parametrize("last", [True, False])
def test_a_store_holds_every_value_once(tmp_path, last):
    store = open_store(_record(tmp_path / "demos.hdf5", last=last))
    assert store.folder == tmp_path / "demos.hdf5.store"
    assert store.spec == SPEC
    assert store.names == [f"demo_{i}" for i in range(5)]
    assert store.filters == {"train": ["demo_0", "demo_2"]}
    assert store.episodes("train").tolist() == [0, 2]
    assert store.num_actions.tolist() == LENGTHS
    assert store.ends.tolist() == np.cumsum(np.array(LENGTHS) + last).tolist()
    assert (store.success, store.seeds) == ([False, True, False, True, False], [1000 + i for i in range(5)])
    for number, (start, end, num) in enumerate(zip(store.starts, store.ends, store.num_actions)):
        episode = make_full_episode(LENGTHS[number], number, last=last)
        for key, value in episode.obs.items():
            assert store.arrays[f"obs/{key}"].dtype == value.dtype
            np.testing.assert_array_equal(store.arrays[f"obs/{key}"][start:end], value)
        for name, field in (("action",) * 2, ("reward",) * 2, ("terminated",) * 2, ("success", "solved")):
            np.testing.assert_array_equal(store.arrays[name][start : start + num], getattr(episode, field))


@pytest.mark.parametrize("last", [True, False])
def test_a_store_of_before_success_was_stored_tells_it_from_the_flags(tmp_path, last):
    store = open_store(_record(tmp_path / "demos.hdf5", last=last))
    (store.folder / "steps" / "success.memmap").unlink()
    older = Store.open(store.folder)
    np.testing.assert_array_equal(older.arrays["success"], store.arrays["success"])
    assert older.arrays["success"].dtype == bool
    header = json.loads((store.folder / "store.json").read_text())
    (store.folder / "store.json").write_text(json.dumps({**header, "success": [None, *header["success"][1:]]}))
    assert "success" not in Store.open(store.folder).arrays, "of one episode nobody knows"


def test_steps_are_a_memory_mapped_tensordict(recorded):
    store = open_store(recorded)
    for opened in (TensorDict.load_memmap(store.folder / "steps"), store.steps):
        assert opened.batch_size == torch.Size([int(store.ends[-1])])
        np.testing.assert_array_equal(opened["obs", "agent", "pos"].numpy(), store.arrays["obs/agent/pos"])
        np.testing.assert_array_equal(opened["terminated"].numpy(), store.arrays["terminated"])
    store.steps["action"].zero_()
    assert np.abs(Store.open(store.folder).arrays["action"]).max() > 0, "writing to steps must not reach the disk"


def test_statistics_are_those_of_the_chosen_episodes(recorded):
    store = open_store(recorded)
    episodes = [make_full_episode(LENGTHS[number], number) for number in (0, 3)]
    found = store.statistics([0, 3])
    assert set(found) == {"agent/pos", "state", "action"}, "images have none"
    state = np.concatenate([episode.obs["state"] for episode in episodes]).astype(np.float64)
    action = np.concatenate([episode.action for episode in episodes]).astype(np.float64)
    for key, value in (("state", state), ("action", action)):
        np.testing.assert_allclose(found[key].mean, value.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found[key].std, value.std(0), rtol=1e-12)
        assert found[key].count == len(value)
    assert store.statistics()["action"].count == sum(LENGTHS)


def test_a_recording_is_converted_once(recorded):
    calls = []
    first = open_store(recorded, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 5) for i in range(1, 6)]
    second = open_store(recorded, progress=lambda done, total: calls.append((done, total)))
    assert len(calls) == 5
    assert first.fingerprint == second.fingerprint
    assert open_store(first.folder).fingerprint == first.fingerprint


def test_a_touched_recording_is_not_converted_anew(recorded):
    first = open_store(recorded)
    os.utime(recorded, ns=(1, 1))
    second = open_store(recorded, progress=lambda *_: pytest.fail("converted again"))
    assert second.fingerprint == first.fingerprint
    stamped = json.loads((second.folder / "store.json").read_text())["stamp"]
    assert stamped[0][2] == 1, "remembered, so that the next time it need not be read"


def test_a_changed_recording_is_converted_anew(recorded):
    first = open_store(recorded)
    before = recorded.stat()
    with h5py.File(recorded, "a") as file:
        for group in ("obs", "next_obs"):
            file[f"data/demo_2/{group}/state"][:] += 1.0
    assert recorded.stat().st_size == before.st_size
    os.utime(recorded, ns=(before.st_atime_ns, before.st_mtime_ns))  # even where size and time are as before
    second = open_store(recorded)
    assert second.fingerprint != first.fingerprint
    expected = make_full_episode(12, 2).obs["state"] + np.float32(1.0)
    np.testing.assert_array_equal(second.arrays["obs/state"][second.starts[2] : second.ends[2]], expected)
    assert sorted(child.name for child in recorded.parent.iterdir() if child.is_dir()) == ["demos.hdf5.store"]


def test_next_obs_makes_a_store_of_its_own(recorded):
    both, alone = open_store(recorded), open_store(recorded, next_obs="ignore")
    assert both.folder != alone.folder
    assert both.fingerprint != alone.fingerprint
    assert int(both.ends[-1]) - int(alone.ends[-1]) == len(LENGTHS)


def test_a_field_that_only_some_episodes_have_is_left_out_with_a_warning(tmp_path):
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        writer.append(make_full_episode(4, 0))
        writer.append(make_episode(5, 1))
    with pytest.warns(UserWarning, match=r"some episodes have no \['reward', 'success', 'terminated'\]"):
        store = open_store(path)
    assert set(store.arrays) == {"obs/agent/pos", "obs/state", "obs/image", "action"}


def test_a_damaged_episode_leaves_no_store(recorded):
    with h5py.File(recorded, "a") as file:
        file["data/demo_3/actions"][1, 0] = np.nan
    with pytest.raises(ValueError, match="'demo_3': action holds 1 values that are not finite"):
        open_store(recorded)
    assert [child.name for child in recorded.parent.iterdir() if child.is_dir()] == []


def test_an_incomplete_store_is_refused(recorded, tmp_path):
    store = open_store(recorded)
    with (store.folder / "steps" / "action.memmap").open("ab") as file:
        file.truncate(16)
    with pytest.raises(ValueError, match=r"action.memmap has 16 bytes, expected 264: remove .*\.store"):
        Store.open(store.folder)
    with pytest.raises(ValueError, match="not a store: it has no"):
        Store.open(tmp_path)


def test_a_store_of_another_version_is_converted_anew(recorded):
    folder = open_store(recorded).folder
    header = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**header, "format": "worldjepa store 0"}))
    with pytest.raises(ValueError, match="another version"):
        Store.open(folder)
    assert len(open_store(recorded)) == 5


def test_unknown_filters_are_refused(recorded):
    with pytest.raises(ValueError, match=r"no filter 'valid'; it has \['train'\]"):
        open_store(recorded).episodes("valid")


def test_a_folder_that_is_no_store_is_not_replaced(recorded, tmp_path):
    (tmp_path / "mine").mkdir()
    with RobomimicSource(recorded) as source, pytest.raises(ValueError, match="exists and is not a store"):
        Store.convert(source, tmp_path / "mine")
    with RobomimicSource(recorded, filter="train") as source:
        assert Store.convert(source, tmp_path / "train.store").num_actions.tolist() == [7, 12]


def test_a_read_only_folder_sends_the_store_to_the_cache(recorded, tmp_path, monkeypatch):
    folder = tmp_path / "readonly"
    folder.mkdir()
    shutil.move(recorded, folder / "demos.hdf5")
    folder.chmod(0o555)
    monkeypatch.setenv("WORLDJEPA_CACHE", str(tmp_path / "cache"))
    try:
        store = open_store(folder / "demos.hdf5")
        assert store.folder.parent == tmp_path / "cache"
        assert [child.name for child in folder.iterdir()] == ["demos.hdf5"]
        other = open_store(folder / "demos.hdf5", cache_dir=tmp_path / "other")
        assert other.folder.parent == tmp_path / "other"
    finally:
        folder.chmod(0o755)


def test_a_missing_recording_lists_the_formats(tmp_path):
    with pytest.raises(FileNotFoundError, match="robomimic HDF5"):
        open_store(tmp_path / "nothing.hdf5")


def _convert(path: Path, pause_s: float) -> Forked:
    """Convert in another process, which tells each finished episode and at last the fingerprint."""

    def convert(tell):
        def progress(done: int, total: int) -> None:
            tell(str(done))
            time.sleep(pause_s)

        tell(open_store(path, progress=progress).fingerprint)

    return Forked(convert)


def test_a_killed_conversion_leaves_nothing_that_is_read(recorded):
    converter = _convert(recorded, 30.0)
    assert converter.line() == "1"
    converter.kill()
    folders = [child.name for child in recorded.parent.iterdir() if child.is_dir()]
    assert len(folders) == 1
    assert folders[0].startswith(".demos.hdf5.store.partial-")
    store = open_store(recorded)
    np.testing.assert_array_equal(store.arrays["action"][:7], make_full_episode(7, 0).action)
    assert [child.name for child in recorded.parent.iterdir() if child.is_dir()] == ["demos.hdf5.store"]


def test_processes_that_start_together_convert_once(recorded):
    converters = [_convert(recorded, 0.1) for _ in range(2)]
    results = [converter.join() for converter in converters]
    assert [code for code, _ in results] == [0, 0]
    assert sorted(len(lines) for _, lines in results) == [1, 6], "one converted five episodes, the other none"
    assert results[0][1][-1] == results[1][1][-1]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    with mounted(tmp_path / "small") as folder:
        yield folder


def test_a_disk_that_fills_says_so_and_is_left_clean(small_disk, tmp_path):
    spec = DataSpec({"image": ObsSpec((96, 96, 3), "uint8")}, action_dim=2)
    path = _record(tmp_path / "demos.hdf5", lengths=[30, 30, 30], spec=spec)
    with pytest.raises(
        OSError, match=r"disk of .*small is full.*free space there, or give another place with cache_dir"
    ) as e:
        open_store(path, cache_dir=small_disk)
    assert e.value.errno == errno.ENOSPC
    assert [child.name for child in small_disk.iterdir() if child.is_dir()] == []
    assert len(open_store(path)) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", ["action", "obs/image"])
def test_an_array_for_which_there_is_no_space_leaves_no_store(recorded, tmp_path, monkeypatch, name):
    place, where = tmp_path / "cache", convert._file_of
    monkeypatch.setattr(convert, "_file_of", lambda steps, x: Path("/dev/full") if x == name else where(steps, x))
    with pytest.raises(OSError, match=r"disk of .*cache is full.*give another place with cache_dir") as e:
        open_store(recorded, cache_dir=place)
    assert e.value.errno == errno.ENOSPC
    assert [child.name for child in place.iterdir() if child.is_dir()] == []
    monkeypatch.undo()
    assert len(open_store(recorded, cache_dir=place)) == len(LENGTHS)


def test_a_disk_that_fills_while_recording_keeps_what_was_recorded(small_disk):
    _fill_while_recording(small_disk / "demos.hdf5", nullcontext())


def test_a_file_that_may_not_grow_keeps_what_was_recorded(tmp_path):
    _fill_while_recording(tmp_path / "demos.hdf5", largest_file(1 << 20))


def _fill_while_recording(path: Path, narrow: AbstractContextManager) -> None:
    spec = DataSpec({"image": ObsSpec((96, 96, 3), "uint8")}, action_dim=2)
    with narrow:
        writer, written = RobomimicWriter(path, spec), 0
        with pytest.raises(OSError, match=r"is full; the \d+ episodes recorded before are safe.*append=True"):  # noqa: PT012
            for number in range(100):
                writer.append(make_full_episode(5, number, spec=spec))
                written += 1
        with pytest.raises(ValueError, match="failed and is closed"):
            writer.append(make_full_episode(5, 0, spec=spec))
        writer.close()
    assert written >= 2
    with RobomimicSource(path) as source:
        assert len(source) == written
        for number, episode in enumerate(source):
            assert_same(episode, make_full_episode(5, number, spec=spec))
    with RobomimicWriter(path, spec, append=True) as writer:
        assert writer.append(make_full_episode(1, 7, spec=spec)) == f"demo_{written}", (
            "the failed episode left no bytes"
        )


def test_reopening_takes_milliseconds(recorded):
    open_store(recorded)
    start = time.perf_counter()
    open_store(recorded)
    assert time.perf_counter() - start < 0.5


def test_many_files_are_stamped_as_one(tmp_path, monkeypatch):
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / "many" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "many" / name).write_text(name)
    listed = stamp(tmp_path / "many")
    assert [row[0] for row in listed] == ["many/a", "many/b/1", "many/b/2", "many/c/d/e"]
    monkeypatch.setattr("worldjepa.data.fingerprint.MANY_FILES", 4)
    (one,) = stamp(tmp_path / "many")
    assert one[:2] == ["4 files", sum(row[1] for row in listed)]
    assert stamp(tmp_path / "many") == [one]
    (tmp_path / "many" / "b" / "1").write_text("3/1")
    assert stamp(tmp_path / "many") != [one]
