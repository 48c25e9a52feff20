"""Runs under torchrun: trains the tiny learner in several ways, each into its own folder."""

import dataclasses
import sys
from pathlib import Path

import torch
from tiny_learner import TinyConfig, TinyLearner, batches, save_pretrained

from worldjepa.train.config import FitConfig
from worldjepa.train.fit import fit

CONFIG = FitConfig(steps=12, warmup=3, lr=1e-2, grad_clip=0.5, log_every=1, save_every=6, average=0.9)


def train(folder: Path, *, batch=None, resume=False, batch_norm=False, **changes) -> None:
    """One run; every process starts from other weights, so that only the first one's count."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    learner = TinyLearner(TinyConfig(dropout=0.0, batch_norm=batch_norm), seed=rank)
    config = dataclasses.replace(CONFIG, **changes)
    options = {"save_pretrained": save_pretrained, "resume": resume, "progress": False}
    fit(learner, batch or batches(), config, folder, **options)


def stops(number, rank, world):
    """Breaks at batch 8 in all processes."""
    if number == 8:
        raise KeyboardInterrupt
    return batches()(number, rank, world)


def main(folder: Path) -> None:
    """The runs that the test compares with those of one process."""
    train(folder / "copies")
    train(folder / "copies_norm", batch_norm=True)
    train(folder / "copies_accumulated", accumulate=2)
    train(folder / "shards", sharded=True)
    for sharded in (False, True):
        name = folder / f"resumed_{sharded}"
        try:
            train(name, batch=stops, sharded=sharded)
        except KeyboardInterrupt:
            train(name, resume=True, sharded=sharded)
    train(folder / "timed", steps=None, max_seconds=0.3)
    try:
        train(folder / "nan", batch=batches(poison=4))
    except FloatingPointError as error:
        (folder / f"nan_{torch.distributed.get_rank()}.txt").write_text(str(error))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
