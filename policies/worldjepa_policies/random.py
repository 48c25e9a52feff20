"""The random policy: a floor that every learned policy must beat."""

from copy import deepcopy

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor


class RandomPolicy:
    """Draws each action uniformly from the action space, each row from a generator of its own.

    Args:
        space: of one environment's actions.
        seed: for rows that nobody seeds.
    """

    def __init__(self, space: gym.Space, seed: int = 0):
        self._space, self._seed = space, seed
        self._rows: dict[int, gym.Space] = {}

    def reset(self, done: Tensor) -> None:
        """Nothing is remembered but the generators, which go on."""

    def seed(self, row: int, seed: int) -> None:
        """Row ``row`` draws from ``seed`` from here on."""
        self._rows[row] = deepcopy(self._space)
        self._rows[row].seed(seed)

    def act(self, obs: TensorDict) -> Tensor:
        """Random actions [B, A] for observations [B]."""
        (num,) = obs.batch_size
        for row in range(num):
            if row not in self._rows:
                self.seed(row, self._seed + row)
        drawn = [np.asarray(self._rows[row].sample()).reshape(-1) for row in range(num)]
        return torch.from_numpy(np.stack(drawn))
