"""TwoRooms: a dot goes through a door from one room to a goal in the other."""

from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa_envs.rooms import LONGEST
from worldjepa_envs.rooms_factors import FACTORS
from worldjepa_envs.two_rooms_batch import TwoRoomsBatch
from worldjepa_envs.variation import Stream, Value, Variation


class TwoRoomsEnv(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """Bring the dot within 0.07 of the square's side of the goal. No simulator: plain numpy.

    The square is [-1, 1] x [-1, 1], divided by a wall at x in [-0.35, 0.35] with a door at y in [-0.6, 0.6].
    Action [2] in [-1, 1]: velocity, times 0.08 (a 25th of the side) a step. The dot slides along walls.
    Observation: "agent" and "goal" [2] positions, "layout" [2] (x of the wall, y of the door); "image" [image_size,
    image_size, 3] uint8, without the goal.
    Info: ``is_success``, and ``score``: 1 - way left to the goal / way at the start, in [0, 1]. Reward: the increase of
    the score, plus 1 on success.
    ``reset(options={"state": [agent x, y, goal x, y, wall x, door y]})`` starts from that state.

    Args:
        obs_type: "state", "pixels" ("image" alone) or "state+pixels".
        image_size: rows and columns of "image".
        render_mode: None or "rgb_array".
        render_size: rows and columns of ``render()``, which shows the goal too.
        random_layout: draw wall and door anew in each episode; else both are in the middle.
        goal_room: "other" than the start's, the "same" or "any".
        start_distance: shortest and longest way (through the door) from start to goal.
        goal_obs: add "goal_agent", "goal_image", ...: the observation with the dot at the goal.
        terminate_on_success: end the episode at the first solved step; else it runs to its time limit.
        variation: what varies in each episode (see `worldjepa_envs.variation`); ``variations`` describes it.
        distractor: surround the square by patches that change colour at random with every step.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in gymnasium.Env)
    score_name, path_key = "progress", "agent"
    """What the score is called, and the observation whose travelled distance is an episode's path length."""

    def __init__(
        self,
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
            1,
            obs_type=obs_type,
            image_size=image_size,
            random_layout=random_layout,
            goal_room=goal_room,
            start_distance=start_distance,
            goal_obs=goal_obs,
            variation=variation,
            distractor=distractor,
        )
        self._stream: Stream | None = None
        self.render_mode, self._render_size = render_mode, render_size
        self._terminate_on_success = terminate_on_success
        self.action_space, self.observation_space = self._batch.action_space, self._batch.observation_space

    @property
    def variations(self) -> dict[str, gym.Space]:
        """The factors of variation: name -> values."""
        return FACTORS.spaces

    @property
    def variation(self) -> dict[str, Value]:
        """The value of each factor in this episode."""
        return dict(self._batch.variation[0])

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, np.ndarray], dict]:
        """Start an episode.

        Args:
            seed: seeds the episode's randomness.
            options: {"state": 6 numbers} starts from that state instead of a random one; {"variation": ...} takes the
                place of the constructor's in this episode.
        """
        super().reset(seed=seed)
        if seed is not None or self._stream is None:
            self._stream = Stream(self.np_random, self.np_random_seed)
        self._stream.episode += 1
        self._batch.begin(0, self._stream, options)
        self._batch.settle(np.ones(1, bool))
        return self._observe(), self._batch.info(0)

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """Apply an action, clipped to [-1, 1]."""
        action = np.asarray(action, np.float64)
        if action.shape != (2,):
            raise ValueError(f"action must have shape (2,), got {action!r}")
        reward = float(self._batch.step(action[None], np.ones(1, bool))[0])
        info = self._batch.info(0)
        return self._observe(), reward, info["is_success"] and self._terminate_on_success, False, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """An image [render_size, render_size, 3] uint8 with the goal, or None without a render mode."""
        return None if self.render_mode is None else self._batch.picture(self._render_size)[0]

    def _observe(self) -> dict[str, np.ndarray]:
        return {key: value[0] for key, value in self._batch.observe().items()}
