"""Batch norm over processes equals nn.BatchNorm where there is one process; test_processes.py has two."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from worldjepa.train.batchnorm import GlobalBatchNorm, make_global


@pytest.fixture
def group():
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
def test_equals_batch_norm(group, momentum, affine):
    ours = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum, affine=affine))
    theirs = copy.deepcopy(ours)
    make_global(ours)
    assert type(ours[0]) is GlobalBatchNorm
    for scale in (1.0, 3.0):
        images = scale * torch.randn(4, 3, 5, 6) + 10.0
        inputs = [images.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(x) for norm, x in zip((ours, theirs), inputs)]
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
        for output in outputs:
            output.pow(3).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="without running statistics"):
        make_global(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)))
