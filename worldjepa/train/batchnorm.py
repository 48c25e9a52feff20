"""Batch normalisation over the batch of all processes, so that two processes compute what one would.

torch's SyncBatchNorm does this on GPUs only; this one is plain torch and runs wherever the process group does.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from worldjepa.blocks import TokenBatchNorm


class GlobalBatchNorm(_BatchNorm):
    """`nn.BatchNorm1d`, 2d or 3d with statistics over all processes. Same parameters, buffers and values."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [B, C, ...]; in eval mode with the running statistics, as ever."""
        if not self.training:
            running = (self.running_mean, self.running_var, self.weight, self.bias)
            return functional.batch_norm(input, *running, training=False, eps=self.eps)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1, *[1] * (input.ndim - 2)]
        x = input.float()
        sums = torch.cat([x.sum(axes), x.new_tensor([x.numel() / x.shape[1]])])
        total = _SumOverProcesses.apply(sums)
        mean, count = total[:-1] / total[-1], total[-1].detach()
        centred = x - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(axes)) / count
        self._follow(mean, variance * count / (count - 1))
        z = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            z = z * self.weight.view(shape) + self.bias.view(shape)
        return z.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as nn.BatchNorm keeps them."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.float() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class GlobalTokenBatchNorm(GlobalBatchNorm):
    """`TokenBatchNorm` with statistics over all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [..., C]: all axes but the last are rows."""
        return super().forward(input.flatten(0, -2)).view_as(input)


class _SumOverProcesses(torch.autograd.Function):
    """Sum over processes. Every process's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        total = grad_outputs[0].clone()
        dist.all_reduce(total)
        return total


_GLOBAL: dict[type[nn.Module], type[GlobalBatchNorm]] = {
    nn.BatchNorm1d: GlobalBatchNorm,
    nn.BatchNorm2d: GlobalBatchNorm,
    nn.BatchNorm3d: GlobalBatchNorm,
    TokenBatchNorm: GlobalTokenBatchNorm,
}


def make_global(module: nn.Module) -> None:
    """Turn every batch norm in ``module`` into a `GlobalBatchNorm`, in place; names in the checkpoint stay.

    One of an unknown kind stays as it is in eval mode (a frozen trunk's), where it looks at no other sample.

    Raises:
        ValueError: one without running statistics, or of an unknown kind in training.
    """
    for name, part in module.named_modules():
        if not isinstance(part, _BatchNorm) or isinstance(part, GlobalBatchNorm | nn.SyncBatchNorm):
            continue
        if type(part) not in _GLOBAL:
            if part.training:
                raise ValueError(
                    f"{name}: expected nn.BatchNorm1d, 2d, 3d or TokenBatchNorm, got {type(part).__name__}, whose "
                    "statistics would be those of one process: use one of these, nn.SyncBatchNorm or eval mode"
                )
            continue
        if not part.track_running_stats:
            raise ValueError(f"{name}: batch norm without running statistics cannot be trained by many processes")
        part.__class__ = _GLOBAL[type(part)]
