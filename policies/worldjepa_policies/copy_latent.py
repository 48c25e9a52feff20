"""The floor of planning: the same planner with a model that knows nothing of actions."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.learner import Learner
from worldjepa.plan import CopyLatent, Planner
from worldjepa_policies.mpc import MPCPolicy


class CopyLatentPolicy(MPCPolicy):
    """`MPCPolicy` that imagines that nothing ever changes (`CopyLatent`).

    All plans then cost the same, and the first of them is executed: a sequence drawn at random, as the planner's
    samples are. What `MPCPolicy` with a learned model achieves beyond this, it achieves by knowing what actions do.

    Args:
        learner: gives keys, stride, statistics and bounds; its predictor is not used.
        planner, options: see `MPCPolicy`.
    """

    def __init__(self, learner: Learner, planner: Planner, **options: Any):
        super().__init__(learner, planner, model=CopyLatent(), **options)
        self._proposal = _Noise(self.horizon, self.blocks.width, getattr(planner, "std", 1.0))


class _Noise:
    """Normal numbers."""

    def __init__(self, horizon: int, width: int, std: float):
        self._shape, self._std = (horizon, width), std

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Nothing is remembered."""

    def see(self, obs: TensorDict) -> None:
        """Nothing is looked at."""

    def propose(self, row: int, generator: Generator) -> Float[Tensor, "h w"]:
        """Blocks of random actions."""
        return self._std * torch.randn(self._shape, generator=generator, device=generator.device)
