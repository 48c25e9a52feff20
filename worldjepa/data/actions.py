"""Checks a policy's actions before an environment sees them."""

from typing import Literal

import gymnasium as gym
import numpy as np
from torch import Tensor

from worldjepa.data.task import action_bounds

OutOfBounds = Literal["error", "clip"]
ROUNDING = 1e-5
"""Share of the range by which an action may leave it: float32 rounding, clipped without being counted."""


class ActionCheck:
    """Turns actions [B, A] of a policy into what the environments accept, or says what is wrong with them.

    Args:
        space: of one environment, Box or Discrete.
        num_envs: B.
        out_of_bounds: "error", or "clip" to the bounds and count.
        name: of the environment, for messages.
    """

    def __init__(self, space: gym.Space, num_envs: int, out_of_bounds: OutOfBounds = "error", name: str = "the task"):
        if out_of_bounds not in ("error", "clip"):
            raise ValueError(f'out_of_bounds must be "error" or "clip", not {out_of_bounds!r}')
        self.low, self.high = action_bounds(space)
        self.num_clipped = np.zeros(num_envs, dtype=np.int64)
        """[B] steps whose action was clipped, since the row was last set to 0."""
        self._space, self._name, self._clip = space, name, out_of_bounds == "clip"
        span = np.where(np.isfinite(self.high - self.low), self.high - self.low, 0.0)
        self._low, self._high = self.low - ROUNDING * span, self.high + ROUNDING * span
        largest = np.finfo(np.float64).max
        self._accepted = np.maximum(self.low, -largest), np.minimum(self.high, largest)
        self._harmless = np.clip(np.zeros_like(self.low), self.low, self.high)

    def __call__(self, action: Tensor, active: np.ndarray) -> np.ndarray:
        """Actions [B, A] as float64 within the bounds; rows that are not ``active`` (bool [B]) are not checked.

        Raises:
            ValueError: the shape is wrong, or an active row's action is not finite, out of bounds or not whole.
        """
        value = np.array(action.detach().cpu().numpy(), dtype=np.float64)
        expected = (len(active), len(self.low))
        if isinstance(self._space, gym.spaces.Discrete) and value.shape == expected[:1]:
            value = value[:, None]
        if value.shape != expected:
            raise ValueError(
                f"{self._name}: the policy gave actions of shape {list(value.shape)}, expected {list(expected)} "
                "(environments, action size)"
            )
        value[~active] = self._harmless
        if not ((value >= self._accepted[0]) & (value <= self._accepted[1])).all():  # or NaN
            value = self._within(value)
        if isinstance(self._space, gym.spaces.Discrete) and (value != np.round(value)).any():
            raise ValueError(f"{self._name}: expected whole numbers as actions of {self._space}, got {value.tolist()}")
        return value

    def for_env(self, value: np.ndarray) -> np.ndarray:
        """Checked actions [B, A] in the type and shape of the action space."""
        if isinstance(self._space, gym.spaces.Discrete):
            return value[:, 0].astype(np.int64)
        return value.reshape(-1, *(self._space.shape or ())).astype(self._space.dtype)

    def _within(self, value: np.ndarray) -> np.ndarray:
        """Actions clipped to the bounds, where that may be done."""
        finite = np.isfinite(value)
        if not finite.all():
            row = int(np.argmin(finite.all(1)))
            raise ValueError(
                f"{self._name}: the policy's action in environment {row} is not finite: {value[row].tolist()}; look at "
                "the training log for a diverged loss, and at the observations for keys the model never saw"
            )
        outside = (value < self._low) | (value > self._high)
        if outside.any():
            self._handle(value, outside)
        return np.clip(value, self.low, self.high)

    def _handle(self, value: np.ndarray, outside: np.ndarray) -> None:
        rows = outside.any(1)
        if self._clip:
            self.num_clipped += rows
            return
        row = int(np.argmax(rows))
        part = int(np.argmax(outside[row]))
        raise ValueError(
            f"{self._name}: the policy's action in environment {row} is outside the action space: component {part} is "
            f"{value[row, part]:.6g}, allowed [{self.low[part]:.6g}, {self.high[part]:.6g}]. Clip it in the policy, or "
            'pass out_of_bounds="clip" to clip and count such actions'
        )
