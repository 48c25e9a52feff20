"""AdamW with decay on matrices only."""

import torch
from torch import nn
from torch.optim import Optimizer

from worldjepa.train.config import FitConfig


def make_optimizer(module: nn.Module, config: FitConfig) -> Optimizer:
    """AdamW over the parameters that learn; those with fewer than two axes (biases, norms) are not decayed.

    Raises:
        ValueError: nothing in the module learns.
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError("the learner has no parameter that requires a gradient: there is nothing to train")
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=config.betas, fused=True)


def set_learning_rate(optimizer: Optimizer, rate: float) -> float:
    """Use ``rate`` in all groups; returns it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
