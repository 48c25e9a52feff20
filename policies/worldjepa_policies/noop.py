"""The no-op policy: what an environment does by itself."""

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from worldjepa.types import nested


class NoopPolicy:
    """Always gives the action that asks for nothing.

    That is zero; where the space does not hold zero, the bound next to it. Under absolute position control zero asks
    for a motion to the origin: name the observation that, given back, holds still.

    Args:
        space: of one environment's actions, Box or Discrete.
        hold_key: flat observation key to give back as the action.

    Raises:
        ValueError: another kind of space.
    """

    def __init__(self, space: gym.Space, hold_key: str | None = None):
        if isinstance(space, gym.spaces.Box):
            still = np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype).reshape(-1)
        elif isinstance(space, gym.spaces.Discrete):
            still = np.array([max(int(space.start), 0)])
        else:
            raise ValueError(f"expected a Box or Discrete action space, got {space}")
        self._still, self._hold_key = torch.from_numpy(still), hold_key

    def reset(self, done: Tensor) -> None:
        """Nothing is remembered."""

    def act(self, obs: TensorDict) -> Tensor:
        """The same action [B, A] for all observations [B], or what they say of the held position."""
        if self._hold_key is not None:
            return obs[nested(self._hold_key)].clone()
        return self._still.expand(obs.batch_size[0], -1).clone()
