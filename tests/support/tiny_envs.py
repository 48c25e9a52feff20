"""Small environments and policies for tests of everything that runs episodes."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDict
from torch import Tensor


class Walk(gym.Env):
    """A point on a line under random pushes, solved near 0; about one start in eight is solved already.

    Args:
        terminate: end the episode when solved.
        tell: put is_success and score into the info.
        offset: added to the position at the start, as if a new version had changed the environment.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    path_key = "place/x"
    score_name = "closeness"

    def __init__(
        self, terminate: bool = True, tell: bool = True, offset: float = 0.0, render_mode: str | None = None
    ) -> None:
        self.render_mode = render_mode
        self._terminate, self._tell, self._offset = terminate, tell, offset
        self.observation_space = spaces.Dict(
            {
                "place": spaces.Dict({"x": spaces.Box(-9, 9, (1,), np.float64)}),
                "time": spaces.Box(0, 99, (1,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        assert not options, options
        self._x, self._t = float(self.np_random.uniform(-0.8, 0.8)) + self._offset, 0
        return self._see()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        self._t += 1
        self._x = float(np.clip(self._x + 0.3 * action[0] + self.np_random.normal() * 0.1, -9, 9))
        obs, info = self._see()
        return obs, -abs(self._x), self._terminate and self._solved(), False, info

    def render(self) -> np.ndarray:  # type: ignore[override]
        frame = np.full((33, 47, 3), 40, dtype=np.uint8)
        frame[:, int(np.clip(23 + 10 * self._x, 0, 46))] = 250
        return frame

    def _solved(self) -> bool:
        return abs(self._x) < 0.1

    def _see(self) -> tuple[dict, dict]:
        obs = {"place": {"x": np.array([self._x])}, "time": np.array([self._t], dtype=np.float32)}
        return obs, {"is_success": self._solved(), "score": 1 - min(abs(self._x), 1.0)} if self._tell else {}


class Restless:
    """A random policy with memory: a drift per episode, that must be neither lost nor shared between rows."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[np.random.Generator, float]] = {}

    def reset(self, done: Tensor) -> None:
        for row in done.nonzero().flatten().tolist():
            self._rows.pop(row, None)

    def seed(self, row: int, seed: int) -> None:
        assert row not in self._rows, "seeded without a reset"
        generator = np.random.default_rng(seed)
        self._rows[row] = (generator, float(generator.uniform(-0.3, 0.3)))

    def act(self, obs: TensorDict) -> Tensor:
        x = obs["place", "x"]
        noise = torch.zeros_like(x)
        for row, (generator, drift) in self._rows.items():
            drift = 0.9 * drift + 0.1 * float(generator.normal())
            self._rows[row] = (generator, drift)
            noise[row] = drift
        return (noise - 0.1 * x).clamp(-1, 1)


class Homing:
    """Goes to 0 as straight as it can."""

    def reset(self, done: Tensor) -> None: ...

    def act(self, obs: TensorDict) -> Tensor:
        return (-obs["place", "x"] / 0.3).clamp(-1, 1)


class Constant:
    """Gives the same action for all rows; ``value`` may be anything."""

    def __init__(self, value: Any) -> None:
        self._value = torch.as_tensor(value, dtype=torch.float32)

    def reset(self, done: Tensor) -> None: ...

    def act(self, obs: TensorDict) -> Tensor:
        return self._value.expand(obs.batch_size[0], *self._value.shape).clone()


if "tiny/Walk-v0" not in gym.registry:
    gym.register("tiny/Walk-v0", "tiny_envs:Walk", max_episode_steps=25)
