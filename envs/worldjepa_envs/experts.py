"""Scripted experts with the Policy protocol of worldjepa: ``reset(done)``, ``act(obs) -> [B, A]``."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

if TYPE_CHECKING:
    from worldjepa_envs.turntable_expert import RandomViews

Law = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Observations by key [B, ...] -> actions [B, A] within [low, high]."""


class Expert:
    """A memoryless feedback law as a policy, with optional Gaussian action noise for diverse demonstrations.

    The noise of an episode is drawn from a generator seeded by ``seed`` and the episode's first observation, so it
    does not depend on how many environments run side by side. It is part of the action returned (and recorded).

    Args:
        law: observations by key, each [B, ...] -> actions [B, A].
        reads: the keys without which the law cannot act.
        low, high: bounds of the action, each axis.
        noise: standard deviation, as a part of half the action's range; 0 for the expert itself.
        seed: of the noise.
    """

    def __init__(
        self,
        law: Law,
        *,
        reads: tuple[str, ...] = (),
        low: float = -1.0,
        high: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        if noise < 0.0:
            raise ValueError(f"noise must be at least 0, not {noise}")
        self._law, self._reads = law, reads
        self._low, self._high = low, high
        self._noise, self._seed = noise, seed
        self._generators: list[np.random.Generator | None] = []

    def reset(self, done: Tensor) -> None:
        """Begin new episodes in the rows where ``done`` [B] is True."""
        if len(self._generators) != len(done):
            self._generators = [None] * len(done)
        for row in torch.nonzero(done).flatten().tolist():
            self._generators[row] = None

    def act(self, obs: TensorDict) -> Tensor:
        """Actions [B, A] float32 for observations [B] (state keys; images are not looked at).

        Raises:
            ValueError: a key that the law reads is not observed.
        """
        arrays = dict(flat_states(obs))
        missing = [key for key in self._reads if key not in arrays]
        if missing:
            raise ValueError(
                f"the expert reads {', '.join(self._reads)} and does not find {', '.join(missing)}: make the "
                'environment with obs_type="state" or "state+pixels"'
            )
        action = self._law(arrays)
        if self._noise:
            action = action + self._draw(arrays, action.shape)
        return torch.from_numpy(np.clip(action, self._low, self._high).astype(np.float32))

    def _draw(self, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        if len(self._generators) != shape[0]:
            raise ValueError(f"reset(done) was called for {len(self._generators)} environments, act for {shape[0]}")
        noise = np.empty(shape)
        for row, generator in enumerate(self._generators):
            if generator is None:
                start = zlib.crc32(b"".join(arrays[key][row].tobytes() for key in sorted(arrays)))
                generator = self._generators[row] = np.random.default_rng([self._seed, start])
            noise[row] = generator.normal(size=shape[1:])
        return noise * self._noise * (self._high - self._low) / 2


def flat_states(obs: TensorDict) -> Iterator[tuple[str, np.ndarray]]:
    """Each key of ``obs`` joined by "/", with its values: floats as float64; images left out."""
    for key, value in obs.items(include_nested=True, leaves_only=True):
        if isinstance(value, Tensor) and value.dtype != torch.uint8:
            yield key if isinstance(key, str) else "/".join(key), value.detach().cpu().double().numpy()


def expert(
    env_id: str, *, noise: float = 0.0, seed: int = 0, env_kwargs: Mapping[str, Any] | None = None
) -> "Expert | RandomViews":
    """The scripted expert of an environment.

    Args:
        env_id: "worldjepa/Push-v0", "worldjepa/PushNear-v0", "worldjepa/Reach-v0", "worldjepa/TwoRooms-v0",
            "worldjepa/Turntable-v0" and "worldjepa/TurntableNear-v0" (which show random views),
            "worldjepa/PointMaze-<maze>-v0" or "worldjepa/MetaWorld-<task>-v0".
        noise: standard deviation of recorded action noise, as a part of half the action's range.
        seed: of the noise, and of the views.
        env_kwargs: what the environment is made with, where it is not made as registered; the expert of Turntable
            draws from its ``rotations``, that of PointMaze finds its way in its ``maze`` or ``maze_map``.

    Returns:
        An object with the Policy protocol of worldjepa.

    Raises:
        ValueError: no expert for ``env_id``, or noise where it draws all at random; names those that exist.
        ModuleNotFoundError: the expert needs a simulator that is not installed; names the extra.
    """
    if env_id in ("worldjepa/Push-v0", "worldjepa/PushNear-v0"):
        from worldjepa_envs.push_expert import push_action

        return Expert(push_action, reads=("pusher", "block", "goal"), noise=noise, seed=seed)
    if env_id == "worldjepa/Reach-v0":
        from worldjepa_envs.reach_expert import reach_action

        return Expert(reach_action, reads=("arm", "goal"), noise=noise, seed=seed)
    if env_id == "worldjepa/TwoRooms-v0":
        from worldjepa_envs.two_rooms_expert import rooms_action

        return Expert(rooms_action, reads=("agent", "goal", "layout"), noise=noise, seed=seed)
    if env_id in ("worldjepa/Turntable-v0", "worldjepa/TurntableNear-v0"):
        from worldjepa_envs.turntable_expert import RandomViews

        if noise:
            raise ValueError(f"the expert of Turntable draws its views at random and takes no noise, got {noise}")
        registered = "near" if "Near" in env_id else None
        return RandomViews(seed=seed, rotations=(env_kwargs or {}).get("rotations", registered))
    from worldjepa_envs.pointmaze_expert import maze_law, maze_of

    maze = maze_of(env_id)
    if maze is not None:
        law = maze_law(maze, env_kwargs or {})
        return Expert(law, reads=("observation", "desired_goal"), noise=noise, seed=seed)
    from worldjepa_envs.metaworld import metaworld_expert, task_of

    task = task_of(env_id)
    if task is not None:
        return metaworld_expert(task, noise=noise, seed=seed)
    raise ValueError(
        f"no scripted expert for {env_id!r}; there is one for worldjepa/Push-v0, worldjepa/PushNear-v0, "
        "worldjepa/Reach-v0, worldjepa/TwoRooms-v0, worldjepa/Turntable-v0, worldjepa/TurntableNear-v0, "
        "worldjepa/PointMaze-<maze>-v0 and worldjepa/MetaWorld-<task>-v0"
    )
