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
        live = {name: local(value) for name, value in module.state_dict().items()}
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in live.items()}
        smooth = [name for name, value in live.items() if value.is_floating_point()]
        self._smooth = ([self.state[name] for name in smooth], [live[name] for name in smooth])
        self._copied = [(self.state[name], live[name]) for name in live.keys() - set(smooth)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._smooth, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, live in self._copied:
            average.copy_(live)
