"""TwoRooms, many environments at once: stepped and drawn together, each bit-equal to one on its own."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldjepa_envs.rooms import LONGEST
from worldjepa_envs.rooms_factors import FACTORS
from worldjepa_envs.two_rooms import TwoRoomsEnv
from worldjepa_envs.two_rooms_batch import TwoRoomsBatch
from worldjepa_envs.variation import Value, Variation, stream


class TwoRoomsVectorEnv(VectorEnv):
    """``num_envs`` of `TwoRoomsEnv`; ``gymnasium.make_vec("worldjepa/TwoRooms-v0", num_envs)`` makes it.

    Seeds as in Gymnasium's own vector environments: one number s (rows get s, s + 1, ...) or a list of one (or None)
    a row. ``reset(options={"reset_mask": [N] bool})`` resets these rows only; "state" may be [6] or [N, 6].

    Args:
        num_envs: rows.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, in which rows that have ended stand still until they are
            reset.
        max_episode_steps: truncates; None never.
        The rest: see `TwoRoomsEnv`.

    Raises:
        ValueError: an unknown option.
    """

    score_name, path_key = TwoRoomsEnv.score_name, TwoRoomsEnv.path_key
    takes_seeds = True
    """A list of seeds, one a row, and resets by mask."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        obs_type: str = "state",
        image_size: int = 64,
        render_mode: str | None = None,
        render_size: int = 384,
        random_layout: bool = True,
        goal_room: str = "other",
        start_distance: tuple[float, float] = (0.4, LONGEST),
        goal_obs: bool = False,
        terminate_on_success: bool = True,
        variation: Variation = None,
        distractor: bool = False,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
        self._batch = TwoRoomsBatch(
            num_envs,
            obs_type=obs_type,
            image_size=image_size,
            random_layout=random_layout,
            goal_room=goal_room,
            start_distance=start_distance,
            goal_obs=goal_obs,
            variation=variation,
            distractor=distractor,
        )
        self.num_envs, self._mode = num_envs, AutoresetMode(autoreset_mode)
        self.metadata = {**TwoRoomsEnv.metadata, "autoreset_mode": self._mode}
        self.render_mode, self._render_size = render_mode, render_size
        self._limit, self._terminate_on_success = max_episode_steps, terminate_on_success
        self.single_action_space = self._batch.action_space
        self.single_observation_space = self._batch.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._streams = [stream() for _ in range(num_envs)]
        self._steps = np.zeros(num_envs, np.int64)
        self._terminated, self._truncated = (np.zeros(num_envs, bool) for _ in range(2))

    @property
    def variations(self) -> dict[str, gym.Space]:
        """The factors of variation: name -> values."""
        return FACTORS.spaces

    @property
    def variation(self) -> list[dict[str, Value]]:
        """The value of each factor in the episode of each row."""
        return [dict(values) for values in self._batch.variation]

    def reset(  # type: ignore[override]
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start episodes in all rows, or in those of ``options["reset_mask"]``; the others stay as they are."""
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"seed must be one number or a list of {self.num_envs}, got {len(seeds)}")
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        begun = np.ones(self.num_envs, bool) if mask is None else np.asarray(mask)
        if begun.shape != (self.num_envs,) or begun.dtype != np.bool_ or not begun.any():
            raise ValueError(f"reset_mask must be {self.num_envs} booleans with one True at least, got {mask!r}")
        for row in np.flatnonzero(begun).tolist():
            if seeds is not None and seeds[row] is not None:
                self._streams[row] = stream(seeds[row])
        self._begin(begun, options)
        return self._batch.observe(), self._info(begun)

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply ``actions`` [N, 2], clipped to [-1, 1]; what happens in rows that have ended is the mode's business."""
        ended = self._terminated | self._truncated
        moving = ~ended
        reward = self._batch.step(actions, moving)
        self._steps += moving
        if self._mode == AutoresetMode.NEXT_STEP and ended.any():
            self._begin(ended, {})
        solved = self._batch.solved & moving
        self._terminated |= solved & self._terminate_on_success
        if self._limit is not None:
            self._truncated |= moving & (self._steps >= self._limit)
        terminated, truncated = self._terminated.copy(), self._truncated.copy()
        last = terminated | truncated
        if self._mode == AutoresetMode.SAME_STEP and last.any():
            final = {"final_obs": self._rows(last), "_final_obs": last, "final_info": self._info(last)}
            self._begin(last, {})
            return self._batch.observe(), reward, terminated, truncated, {**self._info(), **final, "_final_info": last}
        return self._batch.observe(), reward, terminated, truncated, self._info()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """An image [render_size, render_size, 3] uint8 a row with the goal, or None without a render mode."""
        return None if self.render_mode is None else tuple(self._batch.picture(self._render_size))

    def _begin(self, begun: np.ndarray, options: dict[str, Any]) -> None:
        state = options.get("state")
        for row in np.flatnonzero(begun).tolist():
            own = {**options, "state": state[row]} if state is not None and np.ndim(state) == 2 else options
            self._streams[row].episode += 1
            self._batch.begin(row, self._streams[row], own)
        self._batch.settle(begun)
        self._steps[begun] = 0
        self._terminated[begun] = self._truncated[begun] = False

    def _info(self, rows: np.ndarray | None = None) -> dict[str, Any]:
        there = np.ones(self.num_envs, bool) if rows is None else rows.copy()
        info = {"is_success": self._batch.solved & there, "score": np.where(there, self._batch.score, 0.0)}
        return {**info, **{f"_{key}": there.copy() for key in info}}

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """The observation of each of ``rows``, None elsewhere: [N] objects."""
        obs, found = self._batch.observe(), np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(rows).tolist():
            found[row] = {key: value[row] for key, value in obs.items()}
        return found
