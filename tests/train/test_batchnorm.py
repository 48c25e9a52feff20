"""Batch norm over processes equals nn.BatchNorm where there is one process; test_processes.py has two."""

import copy

import norm_worker
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from worldjepa.blocks import projector
from worldjepa.train.batchnorm import GlobalBatchNorm, GlobalTokenBatchNorm, make_global


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


def test_a_batch_norm_over_tokens_is_one_over_processes_too(group):
    """LeWM's projector: the last axis holds the features, and there are two axes of rows."""
    ours = projector(5, 6, 4)
    theirs = copy.deepcopy(ours)
    make_global(ours)
    assert type(ours[1]) is GlobalTokenBatchNorm
    tokens = 3.0 * torch.randn(4, 2, 3, 5) + 1.0
    inputs = [tokens.clone().requires_grad_() for _ in range(2)]
    outputs = [net(x) for net, x in zip((ours, theirs), inputs)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.pow(3).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(tokens), theirs.eval()(tokens))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[tuple[torch.Tensor, ...]]:
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(norm_worker.work, (folder,), 2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_processes_project_tokens_as_one_does(two_processes):
    """Values of all rows, and the gradient of each row of the sum of both losses."""
    value, gradient, mean = norm_worker.project(0, 1)
    for i, alone in ((0, value), (1, gradient)):
        torch.testing.assert_close(torch.cat([found[i] for found in two_processes]), alone, rtol=1e-4, atol=1e-5)
    for found in two_processes:
        torch.testing.assert_close(found[2], mean)


def test_leaves_frozen_ones_of_other_kinds_and_refuses_them_in_training():
    class Own(nn.BatchNorm1d):
        pass

    net = nn.Sequential(nn.SyncBatchNorm(2), Own(2).eval())
    make_global(net)
    assert [type(part) for part in net] == [nn.SyncBatchNorm, Own]
    with pytest.raises(ValueError, match=r"1: expected .* or TokenBatchNorm, got Own"):
        make_global(net.train())


def test_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="without running statistics"):
        make_global(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)))
