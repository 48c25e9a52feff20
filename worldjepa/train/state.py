"""What a run must remember to continue bit by bit, as named tensors and JSON values; never pickle."""

import contextlib
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from worldjepa.train.sharding import gather, like, whole


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name: whole, on the CPU. Every process must call this."""
    return {name: whole(value) for name, value in module.state_dict().items()}


@torch.no_grad()
def load_tensors(into: dict[str, Tensor], tensors: dict[str, Tensor], what: str) -> None:
    """Copy whole tensors into live ones of the same names.

    Raises:
        ValueError: names or shapes differ: these are the weights of another model.
    """
    missing, unknown = sorted(into.keys() - tensors.keys()), sorted(tensors.keys() - into.keys())
    if missing or unknown:
        raise ValueError(f"{what} belongs to another model: it lacks {missing[:5]} and has unknown {unknown[:5]}")
    for name, live in into.items():
        if live.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)} where the model has {tuple(live.shape)}"
            raise ValueError(f"{what} belongs to another model: {name} is {shapes}")
        live.copy_(like(tensors[name], live))


def optimizer_tensors(optimizer: Optimizer, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of every parameter, named "parameter/entry"; and as JSON what is not a tensor."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, parameter in module.named_parameters():
        for entry, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{entry}"] = whole(value)
            else:
                values[f"{name}/{entry}"] = value
    return tensors, {"type": type(optimizer).__name__, "state": values}


def load_optimizer(optimizer: Optimizer, module: nn.Module, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Inverse of `optimizer_tensors`; learning rates and the like come from the configuration, not from here.

    Raises:
        ValueError: the state is that of another optimiser or another model.
    """
    if values["type"] != type(optimizer).__name__:
        raise ValueError(f"the checkpoint's optimiser is {values['type']}, this run's is {type(optimizer).__name__}")
    parameters = dict(module.named_parameters())
    for key, value in {**tensors, **values["state"]}.items():
        name, entry = key.rsplit("/", 1)
        if name not in parameters:
            raise ValueError(f"the checkpoint's optimiser knows a parameter {name!r} that this model does not have")
        parameter = parameters[name]
        if isinstance(value, Tensor):
            value = like(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)
        optimizer.state[parameter][entry] = value


def seed_all(seed: int) -> None:
    """Seed torch, numpy and random."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def own_rng() -> dict[str, Tensor]:
    """Random states of torch, numpy and random in this process."""
    _, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([math.nan if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*np.asarray(keys).tolist(), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
    }
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def set_own_rng(states: dict[str, Tensor]) -> None:
    """Inverse of `own_rng`."""
    torch.set_rng_state(states["torch"])
    gauss = float(states["python_gauss"])
    random.setstate((3, tuple(states["python"].tolist()), None if math.isnan(gauss) else gauss))
    *keys, position, has_gauss = states["numpy"].tolist()
    state = ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, float(states["numpy_gauss"]))
    np.random.set_state(state)  # noqa: NPY002
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def rng_tensors(accelerator: Accelerator) -> dict[str, Tensor]:
    """Random states of all processes, [processes, ...] each. Every process must call this."""
    rows = {name: value[None].to(accelerator.device) for name, value in own_rng().items()}
    return {name: gather(accelerator, value).cpu() for name, value in rows.items()}


def load_rng(tensors: dict[str, Tensor], rank: int) -> None:
    """Set the random states of this process to those saved for process ``rank``."""
    # clone: torch.set_rng_state reads the start of the storage, not of the view.
    set_own_rng({name: value[rank].clone() for name, value in tensors.items()})


@contextlib.contextmanager
def unperturbed(module: nn.Module) -> Iterator[None]:
    """What happens in this block, in eval mode and without gradients, leaves the training's randomness as it was."""
    states = own_rng()
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train()
        set_own_rng(states)
