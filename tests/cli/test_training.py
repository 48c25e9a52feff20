"""A real training by the command line: killed and resumed it ends the same, and two processes learn what one learns."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked import Forked
from recordings import SPEC, make_full_episode
from same_run import assert_same_run, folder_in_memory
from tiny_learner import exported

from worldjepa import cli
from worldjepa.data import RobomimicWriter
from worldjepa.train.checkpoint import Checkpoints
from worldjepa.train.log import read_metrics

STEPS, SAVE_EVERY, NUM_KILLS = 36, 3, 3
PATIENCE_S = 100.0
"""For one checkpoint, on a machine that does much else."""
MODEL = (
    "--model.dim 16 --model.ffn-dim 16 --model.chunk 4 --model.horizon 4 --model.momentum 0.9 --model.momentum-end 1"
)
FIT = "--fit.batch-size 8 --fit.warmup 2 --fit.average 0.9 --fit.threads 1 --fit.device cpu"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Folder of a recording, demos.hdf5, and of the runs."""
    with folder_in_memory() as place:
        with RobomimicWriter(place / "demos.hdf5", SPEC) as writer:
            for number in range(6):
                writer.append(make_full_episode(9 + number, number))
        yield place


def command(folder: Path, run: str, more: str) -> list[str]:
    """Words of a training in ``folder / run``, which goes on where it is there already."""
    place = [str(folder / "demos.hdf5"), "--out", str(folder / run), "--resume"]
    return ["train", "act_jepa", *place, *MODEL.split(), *FIT.split(), *more.split()]


def start(words: list[str]) -> Forked:
    """The training in a process of its own."""

    def train(tell) -> None:
        torch.set_num_threads(1)
        assert cli.main(words) == 0

    return Forked(train)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_training_killed_at_random_moments_ends_as_one_that_was_left_alone(folder: Path) -> None:
    more = f"--model.dropout 0.1 --fit.lr 1e-2 --fit.steps {STEPS} --fit.save-every {SAVE_EVERY} --fit.log-every 2"
    began = time.monotonic()
    assert start(command(folder, "whole", more)).join()[0] == 0
    interval_s = (time.monotonic() - began) * SAVE_EVERY / STEPS
    chance, checkpoints, reached = random.Random(0), Checkpoints(folder / "killed" / "checkpoints"), [0]
    for _ in range(NUM_KILLS):
        child = start(command(folder, "killed", more))
        deadline = time.monotonic() + PATIENCE_S
        while max(checkpoints.steps(), default=0) <= reached[-1] and time.monotonic() < deadline:
            time.sleep(0.005)
        moment = time.monotonic() + chance.uniform(0.0, interval_s)
        latest = len(reached) * STEPS // (NUM_KILLS + 1)  # however slowly the moment comes, the end is further off
        while time.monotonic() < moment and max(checkpoints.steps(), default=0) < latest:
            time.sleep(0.002)
        child.kill()
        reached.append(max(checkpoints.steps(), default=0))
    assert sorted(set(reached)) == reached, "the run must have made progress between the kills"
    assert reached[-1] < STEPS, "it must not have ended before it was killed"
    assert start(command(folder, "killed", more)).join()[0] == 0
    assert_same_run(folder / "whole", folder / "killed")


def test_two_processes_learn_what_one_learns(folder: Path) -> None:
    more = "--model.dropout 0 --fit.lr 1e-3 --fit.steps 4 --fit.log-every 1"
    assert cli.main(command(folder, "one", more)) == 0
    paths = os.pathsep.join(path for path in sys.path if path)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "worldjepa"]
    done = subprocess.run(
        [*launch, *command(folder, "two", more)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    names = ("loss", "action_l1", "latent_l1", "grad_norm")
    one, two = (torch.tensor([[row[x] for x in names] for row in read_metrics(folder / run)]) for run in ("one", "two"))
    assert one.shape == (4, 4)
    torch.testing.assert_close(two, one, rtol=2e-4, atol=1e-5)
    ours, theirs = (exported(folder / run / "checkpoints/last") for run in ("two", "one"))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if name.endswith("attention.kv.bias"):
            # A key's bias moves all scores of a query alike: its gradient is rounding, of which AdamW makes steps.
            ours[name], value = ours[name].chunk(2)[1], value.chunk(2)[1]
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, x=name: f"{x}: {text}")
