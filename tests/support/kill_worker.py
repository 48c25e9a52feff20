"""Trains in forked children that are killed, so that torch is imported once. Prints JSON for the test to judge."""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tiny_learner import TinyLearner, batches, save_pretrained

from worldjepa.train.checkpoint import Checkpoints
from worldjepa.train.config import FitConfig
from worldjepa.train.fit import fit

CONFIG = FitConfig(steps=150, warmup=5, lr=1e-2, log_every=7, save_every=5, monitor_every=50, average=0.9, device="cpu")
NUM_KILLS = 10


def train(folder: Path) -> None:
    """The run; started anew or resumed."""
    fit(TinyLearner(), batches(), CONFIG, folder, save_pretrained=save_pretrained, resume=True, progress=False)


def in_child(work: Callable[[], None], seconds: float | None = None) -> bool:
    """Run ``work`` in a fork; kill it after ``seconds``. True if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    if os.WEXITSTATUS(status):
        raise RuntimeError("the training failed; see above")
    return False


def random_moments(folder: Path, longest_s: float) -> dict[str, list[int]]:
    """Kill a training ten times, then let it end; if it ends too early, go on with another one.

    Returns:
        Newest step after each kill, by the name of the run.
    """
    chance = random.Random(0)
    runs: dict[str, list[int]] = {}
    while sum(map(len, runs.values())) < NUM_KILLS:
        name = f"killed_{len(runs)}"
        runs[name] = []
        while sum(map(len, runs.values())) < NUM_KILLS:
            if not in_child(lambda name=name: train(folder / name), chance.uniform(0.0, longest_s)):
                break
            runs[name].append(max(Checkpoints(folder / name / "checkpoints").steps(), default=0))
        in_child(lambda name=name: train(folder / name))
    return runs


def every_operation(folder: Path) -> list[dict]:
    """Kill one save, which also deletes an old checkpoint, at its 1st, 2nd, ... touch of the disk."""
    seen = []
    while True:
        here = folder / "operations"
        shutil.rmtree(here, ignore_errors=True)
        checkpoints = Checkpoints(here, keep_last=1)
        checkpoints.save(1, save_two_files)
        number = len(seen)
        killed = in_child(lambda at=number, into=checkpoints: die_at(at, into))
        left = checkpoints.steps()
        pointed = (here / "last").resolve().name
        checkpoints.clean()
        names = sorted(path.name for path in here.iterdir())
        whole = all(is_whole(checkpoints.path(step)) for step in left)
        mended = (here / "last").resolve().name
        seen.append({"left": left, "whole": whole, "pointed": pointed, "mended": mended, "names": names})
        if not killed:
            return seen


def save_two_files(folder: Path) -> None:
    """A checkpoint small enough to look through."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name * 1000)


def is_whole(folder: Path) -> bool:
    """Whether both files are there in full."""
    return all((folder / name / "file").read_text() == name * 1000 for name in ("a", "b"))


def die_at(number: int, checkpoints: Checkpoints) -> None:
    """Save step 2 and die before operation ``number`` on the disk."""
    count = 0

    def dying(operation):
        def call(*args, **options):
            nonlocal count
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return operation(*args, **options)

        return call

    for name in ("mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "fsync", "open"):
        setattr(os, name, dying(getattr(os, name)))
    checkpoints.save(2, save_two_files)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    began = time.monotonic()
    in_child(lambda: train(place / "whole"))
    longest_s = (time.monotonic() - began) / 2
    print(json.dumps({"moments": random_moments(place, longest_s), "operations": every_operation(place)}))
