"""Gymnasium-Robotics' point mazes: a ball is pushed through a maze to a goal."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

import warnings
from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa_envs import POINT_MAZES
from worldjepa_envs.adapter import Adapter, Parts
from worldjepa_envs.missing import require


class PointMaze(Adapter):
    """A maze seen from above.

    Action [2] in [-1, 1]: force on the ball, at 100 Hz. Observation: "observation" [4] position and velocity,
    "achieved_goal" and "desired_goal" [2] positions (m), in float32; "image" without the goal. Info ``is_success``: the
    ball is within 0.45 m of the goal, Gymnasium-Robotics' own test, at reset too.

    Args:
        maze: one of `POINT_MAZES`.
        goal_obs: add "goal_<key>" for each key: the observation with the ball at rest at the goal.
        show_goal: mark the goal in the images.
        kwargs: obs_type, image_size, render_mode, render_size, terminate_on_success: see `Adapter`; the rest goes to
            the environment.

    Raises:
        ValueError: an unknown maze; lists the names.
        ModuleNotFoundError: Gymnasium-Robotics is not installed; names the extra.
    """

    path_key = "achieved_goal"
    """The observation whose travelled distance is an episode's path length."""

    def __init__(self, maze: str = "UMaze", *, goal_obs: bool = False, show_goal: bool = False, **kwargs: Any) -> None:
        if maze not in POINT_MAZES:
            raise ValueError(f"unknown maze {maze!r}; there are {', '.join(POINT_MAZES)}")
        names = ("obs_type", "image_size", "render_mode", "render_size", "terminate_on_success")
        options = {key: kwargs.pop(key) for key in names if key in kwargs}
        gym.register_envs(require("gymnasium_robotics", "robotics"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is out of date")
            env = gym.make(f"PointMaze_{maze}-v3", disable_env_checker=True, **kwargs)
        self._maze: Any = env.unwrapped
        if not show_goal:
            self._maze.model.site_rgba[self._maze.target_site_id, 3] = 0.0
        super().__init__(
            self._maze,
            split=lambda obs: {key: np.asarray(value, np.float32) for key, value in obs.items()},
            success=lambda obs, info: info["success"],
            camera=_from_above(max(self._maze.maze.map_length, self._maze.maze.map_width)),
            **options,
        )
        self._goal_obs: Parts = {}
        self._has_goals = goal_obs
        if goal_obs:
            space: Any = self.observation_space
            both = {**space.spaces, **{f"goal_{key}": leaf for key, leaf in space.spaces.items()}}
            self.observation_space = gym.spaces.Dict(both)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Parts, dict]:
        """A new start and goal; ``options`` as there: {"reset_cell": [row, column], "goal_cell": [row, column]}."""
        self._goal_obs = {}
        obs, info = super().reset(seed=seed, options=options)
        if self._has_goals:
            self._goal_obs = {f"goal_{key}": value for key, value in self._observe_goal().items()}
        return {**obs, **{key: value.copy() for key, value in self._goal_obs.items()}}, info

    def _observe(self, obs: Any) -> Parts:
        return {**super()._observe(obs), **{key: value.copy() for key, value in self._goal_obs.items()}}

    def _observe_goal(self) -> Parts:
        """The observation of a solved state, set up in data of its own so that the episode goes its way."""
        import mujoco

        point, goal = self._maze.point_env, self._maze.goal
        live, point.data = point.data, mujoco.MjData(point.model)
        try:
            point.data.qpos[:2] = goal
            mujoco.mj_forward(point.model, point.data)
            there = np.concatenate([goal, np.zeros(2)])
            return self._observe({"observation": there, "achieved_goal": goal.copy(), "desired_goal": goal.copy()})
        finally:
            point.data = live


def _from_above(cells: int) -> dict[str, Any]:
    """A camera that shows a square of ``cells`` cells, but for half of the outer walls."""
    return {"distance": 1.28 * (cells - 1), "azimuth": 90.0, "elevation": -90.0, "lookat": np.zeros(3)}
