"""A running average of all weights and buffers: what is evaluated and exported instead of the last step's weights."""

import torch
from torch import Tensor, nn

from worldjepa.train.sharding import local


class WeightAverage:
    """Exponential moving average of a module's state.

    ``average <- d * average + (1 - d) * weights`` with ``d = min(decay, (1 + step) / (10 + step))``, so that the first
    steps do not keep the random start. Floating-point buffers (batch-norm statistics) are averaged with the weights,
    all else is copied.

    Args:
        module: followed in place; its tensors must stay the same objects.
        decay: in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        live = module.state_dict()
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in live.items()}
        pairs = [(local(self.state[name]), local(value)) for name, value in live.items()]
        smooth = [pair for pair in pairs if pair[0].is_floating_point()]
        self._smooth = ([average for average, _ in smooth], [weights for _, weights in smooth])
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._smooth, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, weights in self._copied:
            average.copy_(weights)
