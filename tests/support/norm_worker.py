"""A projector with batch norm over tokens, applied by any number of processes to their own rows of a batch."""

import datetime
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from worldjepa.blocks import projector
from worldjepa.train.batchnorm import make_global


def project(rank: int, world: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values of this process's rows, their gradient, and the running mean. Rows of two processes differ much."""
    torch.manual_seed(0)
    net = projector(5, 6, 4)
    if world > 1:
        make_global(net)
    tokens = torch.randn(4, 2, 3, 5) + 2.0 * torch.arange(4).reshape(-1, 1, 1, 1)
    own = tokens.chunk(world)[rank].requires_grad_()
    value = net(own)
    (gradient,) = torch.autograd.grad(value.pow(3).sum(), own)
    mean = net[1].running_mean
    assert isinstance(mean, Tensor)
    return value.detach(), gradient, mean


def work(rank: int, folder: Path) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    patience = datetime.timedelta(seconds=180)
    dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2, timeout=patience)
    torch.save(project(rank, 2), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
