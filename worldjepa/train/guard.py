"""Stops a run whose loss or gradient is no longer finite and says which batch did it."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from tensordict import TensorDict
from torch import Tensor

from worldjepa.train.sharding import gather

NEVER = 2**62


class FiniteGuard:
    """Remembers on the device the first step with a loss or gradient that is not finite.

    Looking costs a few tiny kernels a step and no synchronisation; `check` synchronises.

    Args:
        accelerator: of the run.
    """

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._first = torch.full((1,), NEVER, dtype=torch.int64, device=accelerator.device)

    def watch(self, step: int, *values: Tensor) -> None:
        """Look at the scalars of step ``step``."""
        total = torch.stack([value.detach().float() for value in values]).sum()
        self._first = torch.where((self._first == NEVER) & ~torch.isfinite(total), step, self._first)

    def check(self, batches: Callable[[int, int], list[TensorDict]]) -> None:
        """Raise if a step was bad.

        Args:
            batches: (step, rank) -> the batches of that step, made again.

        Raises:
            FloatingPointError: names the step, the windows in its batch and what in the batch is not finite.
        """
        firsts = gather(self._accelerator, self._first).tolist()
        step = min(firsts)
        if step == NEVER:
            return
        lines = []
        for rank, first in enumerate(firsts):
            if first == step:
                lines += [f"process {rank}: {_describe(batch)}" for batch in batches(step, rank)]
        raise FloatingPointError(f"loss or gradient is not finite at step {step}; " + "; ".join(lines))


def _describe(batch: TensorDict) -> str:
    """Which windows a batch holds and which of its entries are not finite."""
    index = batch.get("index", None)
    named = f"windows {index.flatten().tolist()}" if index is not None else f"a batch of {batch.shape[0]} windows"
    faults = []
    for key, value in batch.items(include_nested=True, leaves_only=True):
        if not value.is_floating_point():
            continue
        rows = (~torch.isfinite(value.flatten(1))).any(1).nonzero().flatten().tolist()
        if rows:
            name = "/".join(key) if isinstance(key, tuple) else key
            faults.append(f"{name!r} is not finite in rows {rows}")
    advice = "the batch itself is finite: lower lr, set grad_clip or lengthen warmup"
    return f"{named}: " + (", ".join(faults) if faults else advice)
