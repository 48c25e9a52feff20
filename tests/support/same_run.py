"""Two trainings that must have come to the same, to the last bit."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file

from worldjepa.train.log import read_metrics


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder in memory where possible: many flushes to a busy disk take minutes, and a killed process, unlike a lost
    machine, does not depend on them."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        yield Path(place)


def assert_same_run(whole_run: Path, resumed_run: Path) -> None:
    """Everything the last checkpoint holds is the same to the last bit, and so is the log."""
    last = [run / "checkpoints/last" for run in (whole_run, resumed_run)]
    names = [f"training_state/{name}.safetensors" for name in ("model", "average", "optimizer", "rng")]
    for name in (*names, "pretrained_model/model.safetensors"):
        whole, resumed = (load_file(checkpoint / name) for checkpoint in last)
        assert whole.keys() == resumed.keys()
        for key in whole:
            assert torch.equal(whole[key].nan_to_num(), resumed[key].nan_to_num()), f"{name}: {key}"
    whole, resumed = (
        [{name: value for name, value in row.items() if name != "time_s"} for row in read_metrics(run)]
        for run in (whole_run, resumed_run)
    )
    assert whole == resumed
