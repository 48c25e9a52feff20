"""The file under a recording: it behaves as a file, and only commits show."""

import os

import numpy as np
import pytest

from worldjepa.data.journal import JournaledFile, recover


def _run(path, steps: int, seed: int):
    """Random writes, reads, truncations and commits, beside a bytearray that says what is right; gives both."""
    rng = np.random.default_rng(seed)
    file, truth = JournaledFile(path), bytearray(path.read_bytes())
    committed = bytes(truth)
    for _ in range(steps):
        action = rng.choice(["write", "write", "write", "read", "truncate", "commit"])
        start = int(rng.integers(0, len(truth) + 1))
        count = int(rng.integers(0, 9000))
        if action == "write":
            data = rng.bytes(count)
            file.seek(start)
            assert file.write(data) == count
            truth[start : start + count] = data
        elif action == "read":
            file.seek(start)
            assert file.read(count) == bytes(truth[start : start + count])
        elif action == "truncate" and len(truth) > len(committed):
            size = int(rng.integers(len(committed), len(truth) + 1))
            file.truncate(size)
            del truth[size:]
        elif action == "commit":
            file.commit()
            committed = bytes(truth)
            assert path.read_bytes() == committed
        assert path.read_bytes()[: len(committed)] == committed, "uncommitted writes must not change committed bytes"
    return file, bytes(truth), committed


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_file_whose_writes_show_at_commits(tmp_path, seed):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5000))
    file, truth, _ = _run(path, 60, seed)
    file.commit()
    file.close()
    assert path.read_bytes() == truth
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("applied", [0, 1, 2])
def test_a_commit_that_was_cut_off_is_finished(tmp_path, monkeypatch, applied):
    path = tmp_path / "file"
    path.write_bytes(bytes(20000))
    file = JournaledFile(path)
    for offset in (10, 9000, 19990):
        file.seek(offset)
        file.write(b"changed at some place")
    left, pwrite = [applied], os.pwrite

    def failing(fd, data, offset):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return pwrite(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        with pytest.raises(KeyboardInterrupt):
            file.commit()
    file.close()
    recover(path)
    content = path.read_bytes()
    assert [content[i : i + 21] for i in (10, 9000, 19990)] == [b"changed at some place"] * 3
    assert len(content) == 20011
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"as it was")
    journal = tmp_path / "file.journal"
    journal.write_bytes(os.urandom(100))
    recover(path)
    assert path.read_bytes() == b"as it was"
    assert not journal.exists()


def test_two_writers_exclude_each_other(tmp_path):
    path = tmp_path / "file"
    first = JournaledFile(path)
    with pytest.raises(BlockingIOError):
        JournaledFile(path)
    first.close()
    JournaledFile(path).close()
