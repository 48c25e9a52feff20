"""Stops a run whose loss or gradient is no longer finite and says which batch did it."""

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from tensordict import TensorDict
from torch import Tensor

from worldjepa.train.sharding import gather

Batches = Callable[[int, int, int], TensorDict]
"""(number of the batch, rank, world) -> this process's rows of that batch; a pure function."""
Locate = Callable[[int, int, int], Sequence[object]]
"""(number of the batch, rank, world) -> a name of each of those rows, such as (episode, step)."""

NEVER = 2**62
NAMED = 12
"""Windows named in an error."""


class FiniteGuard:
    """Remembers on the device the first step with a loss or gradient that is not finite.

    Looking costs a few tiny kernels a step and no synchronisation; `check` synchronises.

    Args:
        accelerator: of the run.
        batch: makes the bad batch again.
        locate: names its windows; None: they are named by their row.
        accumulate: batches in a step.
    """

    def __init__(self, accelerator: Accelerator, batch: Batches, locate: Locate | None, accumulate: int):
        self._accelerator = accelerator
        self._batch, self._locate, self._accumulate = batch, locate, accumulate
        self._first = torch.full((1,), NEVER, dtype=torch.int64, device=accelerator.device)

    def watch(self, step: int, *values: Tensor) -> None:
        """Look at the scalars of step ``step`` (from 0)."""
        finite = torch.isfinite(torch.stack([value.detach().float() for value in values]).sum())
        self._first = torch.where(finite, self._first, self._first.clamp(max=step))

    def check(self) -> None:
        """Raise if a step was bad. Every process must call this.

        Raises:
            FloatingPointError: names the step, the windows in its batch and what in the batch is not finite.
        """
        firsts = gather(self._accelerator, self._first).tolist()
        step, world = min(firsts), len(firsts)
        if step == NEVER:
            return
        told = []
        for rank in (rank for rank, first in enumerate(firsts) if first == step):
            for number in range(step * self._accumulate, (step + 1) * self._accumulate):
                names = self._locate(number, rank, world) if self._locate else None
                process = f" of process {rank}" if world > 1 else ""
                told.append(f"batch {number}{process}{_describe(self._batch(number, rank, world), names)}")
        raise FloatingPointError(f"loss or gradient is not finite at step {step}: " + "; ".join(told))


def _describe(batch: TensorDict, names: Sequence[object] | None) -> str:
    """What of a batch is not finite, and in which windows."""
    faults = []
    for key, value in batch.items(include_nested=True, leaves_only=True):
        if value.is_floating_point():
            rows = (~torch.isfinite(value.flatten(1))).any(1).nonzero().flatten().tolist()
            if rows:
                faults.append(f"{'/'.join([key] if isinstance(key, str) else key)!r} in {_named(rows, names)}")
    if faults:
        return " holds values that are not finite: " + ", ".join(faults)
    every = _named(range(batch.shape[0]), names)
    return f" is finite itself ({every}): lower lr, set grad_clip or lengthen warmup"


def _named(rows: Sequence[int], names: Sequence[object] | None) -> str:
    """Rows, or their names, not too many of them."""
    shown = [row if names is None else names[row] for row in rows[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"{'rows' if names is None else 'windows'} {', '.join(map(str, shown))}{more}"
