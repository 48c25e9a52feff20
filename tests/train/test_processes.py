"""Two processes learn what one learns: copies (DDP) and shards (FSDP2) over gloo."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_learner import exported
from train_worker import train

from worldjepa.train.log import read_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Folder of the runs of two processes, beside those of one."""
    folder = tmp_path_factory.mktemp("processes")
    worker = Path(__file__).parents[1] / "support" / "train_worker.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", worker, folder]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    train(folder / "one")
    train(folder / "one_norm", batch_norm=True)
    train(folder / "one_accumulated", accumulate=2)
    return folder


def curve(folder: Path) -> torch.Tensor:
    rows = read_metrics(folder)
    return torch.tensor([[row[name] for name in ("loss", "latent", "action", "grad_norm")] for row in rows])


@pytest.mark.parametrize(
    ("two", "one"),
    [
        ("copies", "one"),
        ("copies_norm", "one_norm"),
        ("copies_accumulated", "one_accumulated"),
        ("shards", "one"),
        ("resumed_False", "one"),
        ("resumed_True", "one"),
    ],
)
def test_two_processes_learn_what_one_learns(runs, two, one):
    torch.testing.assert_close(curve(runs / two), curve(runs / one), rtol=2e-4, atol=1e-5)
    ours, theirs = exported(runs / two / "checkpoints/last"), exported(runs / one / "checkpoints/last")
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_shards_are_saved_whole(runs):
    """What shards write, one process reads; and a resumed sharded run is the same to the last bit."""
    whole, resumed = (exported(runs / name / "checkpoints/last") for name in ("shards", "resumed_True"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    tensors = exported(runs / "one/checkpoints/last")
    assert {name: value.shape for name, value in whole.items()} == {
        name: value.shape for name, value in tensors.items()
    }


def test_a_time_budget_ends_all_processes_at_one_step(runs):
    assert read_metrics(runs / "timed")[-1]["lr"] < 1e-3


def test_every_process_names_the_process_with_nan(runs):
    texts = [(runs / f"nan_{rank}.txt").read_text() for rank in range(2)]
    assert texts[0] == texts[1]
    assert "batch 4 of process 1 holds values that are not finite: 'obs' in rows 1" in texts[0], "row 3 of the batch"
