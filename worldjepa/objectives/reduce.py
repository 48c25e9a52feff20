"""Means that two processes compute as one would: numerators and denominators are global.

DistributedDataParallel averages gradients over processes. If each process divides its own sum by its own number of
valid elements, processes with much padding count too much. Here every process divides by the *global* count and
multiplies by the number of processes: the average of the gradients is then the gradient of the single-process loss.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def num_processes() -> int:
    """Processes in the default group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def global_sum(value: Tensor) -> Tensor:
    """Sum of ``value`` over processes, detached."""
    total = value.detach().clone()
    if num_processes() > 1:
        dist.all_reduce(total)
    return total


class _GatherRows(torch.autograd.Function):
    """all_gather along dimension 0 whose backward hands each process the gradient of its own rows."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        ctx.num_rows = rows.shape[0]
        parts = [torch.empty_like(rows) for _ in range(num_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        # Every process computes the same loss from the gathered rows, so its gradient is whole on each of them; the
        # mean over processes that DistributedDataParallel takes needs it multiplied by their number.
        start = dist.get_rank() * ctx.num_rows
        return grad_outputs[0][start : start + ctx.num_rows] * num_processes()


class _SumOverProcesses(torch.autograd.Function):
    """Sum over processes whose backward hands each process the gradient of its own summand."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return global_sum(value)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0] * num_processes()  # as in _GatherRows


def sum_over_processes(value: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Sum of ``value`` over processes; gradients flow to the own summand.

    For a loss that is a function of such sums alone, the same on all processes: its gradients averaged over processes
    are those of one process that holds all rows. The summand itself must not depend on such a sum.
    """
    return value if num_processes() == 1 else _SumOverProcesses.apply(value)  # pyright: ignore[reportReturnType]


def gather_rows(rows: Float[Tensor, "n ..."]) -> Float[Tensor, "m ..."]:
    """Rows of all processes, in rank order; gradients flow to the own rows. Each process brings equally many."""
    return rows if num_processes() == 1 else _GatherRows.apply(rows)  # pyright: ignore[reportReturnType]


def widen(value: Tensor) -> Tensor:
    """``value`` in float32 or wider: sums and counts of thousands of elements are not exact in bfloat16."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def blank(value: Float[Tensor, "*n d"], weight: Tensor | None) -> Float[Tensor, "*n d"]:
    """``value`` with zeros where ``weight`` [*n] is zero.

    What is excluded may hold anything, NaN too. `masked_mean` keeps it out of a loss; to keep it out of the gradient
    (0 * NaN is not 0) it must not enter the loss function at all.
    """
    return value if weight is None else torch.where(weight[..., None] > 0, value, 0.0)


def masked_mean(value: Tensor, weight: Tensor | None = None) -> Float[Tensor, ""]:
    """Weighted mean over all elements of all processes.

    Args:
        value: losses, any shape.
        weight: non-negative, broadcastable to ``value``; zero excludes an element. None: all count the same.

    Returns:
        Scalar, float32 or wider. Averaged over processes it is the weighted mean over the global batch. Zero where all
        weights are zero.
    """
    value = widen(value)
    if weight is None:
        total, count = value.sum(), value.new_tensor(float(value.numel()))
    else:
        weight = weight.to(value.dtype).expand_as(value)
        # where, not a product: a padded element may hold anything, and 0 * inf is not 0.
        total, count = torch.where(weight > 0, value * weight, 0.0).sum(), weight.sum()
    return total * num_processes() / global_sum(count).clamp_min(torch.finfo(value.dtype).tiny)
