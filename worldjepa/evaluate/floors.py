"""The floors of an evaluation: a random and a no-op policy, without which a success rate says little."""

from copy import deepcopy

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from worldjepa.data.task import Task
from worldjepa.evaluate.manifest import Manifest
from worldjepa.evaluate.results import Evaluation
from worldjepa.evaluate.rollout import evaluate
from worldjepa.types import Policy, nested


def evaluate_floors(task: Task, manifest: Manifest, **options) -> dict[str, Evaluation]:
    """Evaluate the random and the no-op policy on the starts that the learned policies have.

    Args:
        task, manifest, options: as for `evaluate`.

    Returns:
        {"random": ..., "noop": ...}.
    """
    floors: dict[str, Policy] = {
        "random": RandomPolicy(task.action_space),
        "noop": NoopPolicy(task.action_space, hold_key=task.hold_key),
    }
    return {name: evaluate(policy, task, manifest, name=name, **options) for name, policy in floors.items()}


class RandomPolicy:
    """Draws actions uniformly from the action space, each row from a generator of its own.

    Args:
        space: of one environment's actions.
        seed: for rows that nobody seeds.
        hold: steps for which an action is kept, >= 1. Above 1 a random walk gets somewhere: for collecting data.
    """

    def __init__(self, space: gym.Space, seed: int = 0, *, hold: int = 1):
        if hold < 1:
            raise ValueError(f"an action must be held for at least 1 step, got {hold}")
        self._space, self._seed, self._hold = space, seed, hold
        self._rows: dict[int, gym.Space] = {}
        self._held: dict[int, tuple[int, np.ndarray]] = {}

    def reset(self, done: Tensor) -> None:
        """Nothing is remembered but the generators, which go on."""
        for row in done.nonzero().flatten().tolist():
            self._held.pop(row, None)

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
        return torch.from_numpy(np.stack([self._draw(row) for row in range(num)]))

    def _draw(self, row: int) -> np.ndarray:
        left, action = self._held.get(row, (0, np.empty(0)))
        if left == 0:
            left, action = self._hold, np.asarray(self._rows[row].sample()).reshape(-1)
        self._held[row] = (left - 1, action)
        return action


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
