"""One process or many: copies of the learner (DDP) or shards of it (FSDP2), and whole tensors from either."""

import atexit
import gc
import os
from collections import Counter

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from worldjepa.train.batchnorm import make_global
from worldjepa.train.config import FitConfig


def local(value: Tensor) -> Tensor:
    """The part of a tensor that this process holds; shares memory with it."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole(value: Tensor) -> Tensor:
    """The full tensor on the CPU, a copy. Every process must call this in the same order."""
    value = value.detach()
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.to("cpu", copy=True).contiguous()


def like(value: Tensor, model: Tensor) -> Tensor:
    """``value`` (whole, CPU) placed as ``model`` is: same device, same shards."""
    value = value.to(model.device)
    return distribute_tensor(value, model.device_mesh, model.placements) if isinstance(model, DTensor) else value


def gather(accelerator: Accelerator, value: Tensor) -> Tensor:
    """``value`` of all processes, joined along the first axis."""
    joined = accelerator.gather(value)
    assert isinstance(joined, Tensor)
    return joined


def make_accelerator(config: FitConfig) -> Accelerator:
    """The processes and the device of this run, from torchrun's or ``accelerate launch``'s environment.

    Raises:
        ValueError: launched with Accelerate's own FSDP, which it silently leaves out on CPUs.
        RuntimeError: the processes do not know of each other.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise ValueError("launch without --use_fsdp and set FitConfig.sharded instead")
    ddp = DistributedDataParallelKwargs(find_unused_parameters=config.unused_parameters)
    # Left to itself on a machine without a GPU, Accelerate takes torchrun's processes for so many single ones.
    cpu = config.device == "cpu" or not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[ddp])
    if accelerator.num_processes != int(os.environ.get("WORLD_SIZE", "1")):
        raise RuntimeError(
            f"{os.environ['WORLD_SIZE']} processes were launched, but this one counts {accelerator.num_processes}: "
            "something made an Accelerator before, for another device"
        )
    if torch.distributed.is_initialized():
        # gloo's threads abort the interpreter at exit if the group still stands.
        atexit.unregister(_leave_group)
        atexit.register(_leave_group)
    return accelerator


def distribute(learner: nn.Module, accelerator: Accelerator, config: FitConfig) -> nn.Module:
    """The learner on its device, ready for one call a batch; what it returns may be a wrapper (DDP) or itself.

    All processes start from the first one's weights.

    Raises:
        ValueError: sharding asked for with one process.
    """
    learner.to(accelerator.device)
    if config.sharded and accelerator.num_processes == 1:
        raise ValueError("FitConfig.sharded needs several processes: launch with torchrun --nproc_per_node N")
    if accelerator.num_processes == 1:
        return learner
    make_global(learner)
    with torch.no_grad():
        for value in learner.state_dict().values():
            torch.distributed.broadcast(value, 0)
    return _shard(learner, accelerator) if config.sharded else accelerator.prepare_model(learner)


def _shard(learner: nn.Module, accelerator: Accelerator) -> nn.Module:
    """FSDP2: encoder and predictor are gathered one at a time, what both hold by itself, the rest with the root."""
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for part in _held_twice(compute_heavy(learner)):
        fully_shard(part, mesh=mesh)
    for part in compute_heavy(learner):
        fully_shard(part, mesh=mesh)
        if hasattr(part, "rollout"):  # an open-loop loss calls it
            register_fsdp_forward_method(part, "rollout")
    fully_shard(learner, mesh=mesh)
    register_fsdp_forward_method(learner, "diagnostics")
    return learner


def compute_heavy(learner: nn.Module) -> list[nn.Module]:
    """Encoder and predictor of the learner's model, where it has them."""
    model = getattr(learner, "model", None)
    parts = (getattr(model, name, None) for name in ("encoder", "predictor"))
    return [part for part in parts if isinstance(part, nn.Module)]


def _held_twice(parts: list[nn.Module]) -> list[nn.Module]:
    """Modules with weights that several of ``parts`` hold (a layer norm): no two groups of shards may own them."""
    holders = Counter(module for part in parts for module in part.modules())
    return [m for m, count in holders.items() if count > 1 and next(m.parameters(recurse=False), None) is not None]


def _leave_group() -> None:
    """Destroy the process group, and first what holds it in cycles: wrappers, shards, errors with their frames."""
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()
