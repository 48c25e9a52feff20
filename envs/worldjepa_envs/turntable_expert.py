"""The scripted policy of Turntable: it looks at the object from a new side at every step."""

import zlib

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from worldjepa_envs.experts import flat_states
from worldjepa_envs.turntable_rotation import draw, is_inside, relative

_NEEDED = ("rotation", "floor_hue", "light_hue")


class RandomViews:
    """Draws the next rotation and hues uniformly and gives the action that leads there.

    Rotations are drawn from ``rotations`` (see `turntable_rotation.draw`); None: from the set that an episode's first
    one is of, "inside" or "outside": that "near" is meant cannot be seen from it.
    Where a goal is observed ("goal_rotation"), the action leads there instead. The numbers of an episode are drawn from
    a generator seeded by ``seed`` and the episode's first observation, so they do not depend on how many environments
    run side by side.

    Args:
        seed: of the draws.
        rotations: "inside", "outside", "near" or None.
    """

    def __init__(self, *, seed: int = 0, rotations: str | None = None) -> None:
        self._seed, self._rotations = seed, rotations
        self._draws: list[tuple[np.random.Generator, str] | None] = []

    def reset(self, done: Tensor) -> None:
        """Begin new episodes in the rows where ``done`` [B] is True."""
        if len(self._draws) != len(done):
            self._draws = [None] * len(done)
        for row in torch.nonzero(done).flatten().tolist():
            self._draws[row] = None

    def act(self, obs: TensorDict) -> Tensor:
        """Actions [B, 6] float32 for observations [B].

        Raises:
            ValueError: poses are not observed, or another number of rows than at the last reset.
        """
        arrays = dict(flat_states(obs))
        if missing := [key for key in _NEEDED if key not in arrays]:
            raise ValueError(
                f'the expert of Turntable needs {missing}: make it with obs_type="state" or "state+pixels"'
            )
        num = len(arrays["rotation"])
        if len(self._draws) != num:
            raise ValueError(f"reset(done) was called for {len(self._draws)} environments, act for {num}")
        present = np.concatenate([arrays[key] for key in _NEEDED], 1)
        following = np.stack([self._next(row, arrays) for row in range(num)])
        turn = relative(present[:, :4], following[:, :4])
        return torch.from_numpy(np.concatenate([turn, following[:, 4:] - present[:, 4:]], 1).astype(np.float32))

    def _next(self, row: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Rotation and hues [6] to go to."""
        if "goal_rotation" in arrays:
            return np.concatenate([arrays[f"goal_{key}"][row] for key in _NEEDED])
        known = self._draws[row]
        if known is None:
            start = zlib.crc32(b"".join(arrays[key][row].tobytes() for key in sorted(arrays)))
            rotations = self._rotations or ("inside" if is_inside(arrays["rotation"][row]) else "outside")
            known = self._draws[row] = np.random.default_rng([self._seed, start]), rotations
        generator, rotations = known
        return np.concatenate([draw(generator, rotations), generator.uniform(size=2)])
