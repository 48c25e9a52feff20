"""Checkpoints on the disk: what is kept, what is told when the disk is full, what is refused."""

import dataclasses
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from full_disk import largest_file, mounted
from tiny_learner import TinyConfig, TinyLearner, batches, exported, save_pretrained

from worldjepa.train.checkpoint import Checkpoints
from worldjepa.train.config import FitConfig
from worldjepa.train.fit import fit
from worldjepa.train.state import own_rng, set_own_rng

CONFIG = FitConfig(steps=30, warmup=5, lr=1e-2, save_every=10, log_every=10, average=0.9)


def write(folder: Path) -> None:
    (folder / "file").write_text("weights")


def train(folder: Path, batch=None, **options):
    learner = TinyLearner(TinyConfig(width=64))
    return fit(learner, batch or batches(), CONFIG, folder, save_pretrained=save_pretrained, progress=False, **options)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    with mounted(tmp_path / "disk") as folder:
        yield folder


def test_keeps_the_newest_and_every_nth(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_every=4)
    for step in range(1, 10):
        checkpoints.save(step, write)
        assert (tmp_path / "last").readlink() == Path(f"{step:06d}"), "relative, so that the folder can be moved"
    assert checkpoints.steps() == [4, 8, 9]


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, write)

    def breaks(folder):
        write(folder)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match=r"step 2 .*Input/output error.*last good checkpoint is .*000001") as caught:
        checkpoints.save(2, breaks)
    assert caught.value.errno == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "last"]


def test_the_first_checkpoint_that_fails_says_that_there_is_none(tmp_path):
    def breaks(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="there is no earlier checkpoint"):
        Checkpoints(tmp_path / "checkpoints").save(1, breaks)


def test_a_full_disk_keeps_the_last_good_checkpoint(small_disk, tmp_path):
    ballast = small_disk / "ballast"

    def filling(number, rank, world):
        if number == 15:
            free = shutil.disk_usage(small_disk).free
            ballast.write_bytes(bytes(free - 40 * 1024))
        return batches()(number, rank, world)

    with pytest.raises(OSError, match=r"step 20 .*No space left.*last good checkpoint is .*000010.*resume"):
        train(small_disk / "run", filling)
    assert Checkpoints(small_disk / "run/checkpoints").steps() == [10]
    ballast.unlink()
    assert_resumes(small_disk / "run", tmp_path / "whole")


def test_a_file_that_may_not_grow_keeps_the_last_good_checkpoint(tmp_path):
    with ExitStack() as stack:

        def narrowing(number, rank, world):
            if number == 15:
                stack.enter_context(largest_file(16 * 1024))
            return batches()(number, rank, world)

        with pytest.raises(OSError, match=r"step 20 .*File too large.*last good checkpoint is .*000010.*resume"):
            train(tmp_path / "run", narrowing)
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == [10]
    assert not list((tmp_path / "run/checkpoints").glob(".tmp-*"))
    assert_resumes(tmp_path / "run", tmp_path / "whole")


def assert_resumes(run: Path, other: Path) -> None:
    """The resumed run ends as a new one in ``other``."""
    ours, theirs = exported(train(run, resume=True).checkpoint), exported(train(other).checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    result = train(tmp_path)
    file = result.checkpoint / "training_state/model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read.*resume from another"):
        train(tmp_path, resume=True)


def test_no_pickle_in_a_checkpoint(tmp_path):
    result = train(tmp_path)
    suffixes = {path.suffix for path in result.checkpoint.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_random_states_are_restored_exactly():
    import random

    import numpy as np

    torch.randn(3)
    np.random.standard_normal()  # noqa: NPY002 - leaves a cached gaussian, which must be kept too
    random.gauss(0.0, 1.0)
    states = own_rng()

    def draw():
        return [torch.randn(2).tolist(), np.random.standard_normal(3).tolist(), random.gauss(0.0, 1.0)]  # noqa: NPY002

    first = draw()
    assert draw() != first
    set_own_rng(states)
    assert draw() == first


def test_config_is_checked():
    with pytest.raises(ValueError, match="needs an end"):
        FitConfig(steps=None)
    with pytest.raises(ValueError, match=r"FitConfig\.lr must be positive, got -1"):
        dataclasses.replace(CONFIG, lr=-1.0)
    with pytest.raises(ValueError, match=r"decay in \[0, 1\), got 1"):
        dataclasses.replace(CONFIG, average=1.0)
