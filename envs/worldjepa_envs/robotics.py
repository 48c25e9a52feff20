"""Gymnasium-Robotics' Fetch tasks as worldjepa sees them."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa_envs.adapter import Adapter
from worldjepa_envs.missing import require


def make_robotics(env_id: str, **kwargs: Any) -> Adapter:
    """A goal environment of Gymnasium-Robotics on MuJoCo (the Fetch tasks and the hands).

    Observation: "observation", "achieved_goal", "desired_goal" as there, in float32. Info ``is_success`` is the
    environment's own test of the goal, at reset too. The time limit is the caller's to add.

    Args:
        env_id: such as "FetchPush-v4".
        kwargs: obs_type, image_size, render_mode, render_size, terminate_on_success: see `Adapter`; camera: name of a
            camera of the model instead of the environment's own view; the rest goes to the environment.

    Raises:
        ValueError: not a goal environment.
        ModuleNotFoundError: Gymnasium-Robotics is not installed; names the extra.
    """
    own = ("obs_type", "image_size", "render_mode", "render_size", "terminate_on_success")
    options = {key: kwargs.pop(key) for key in own if key in kwargs}
    camera = kwargs.pop("camera", None)
    gym.register_envs(require("gymnasium_robotics", "robotics"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date")
        env: Any = gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped
    if not hasattr(env, "_is_success") or not hasattr(env, "mujoco_renderer"):
        raise ValueError(f"{env_id} is not a goal environment of Gymnasium-Robotics on MuJoCo, such as FetchPush-v4")

    def success(obs: dict[str, np.ndarray], info: dict) -> bool:
        return bool(env._is_success(obs["achieved_goal"], obs["desired_goal"]))

    def split(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {key: np.asarray(value, np.float32) for key, value in obs.items()}

    view = camera or env.mujoco_renderer.default_cam_config or {}
    return Adapter(env, split=split, success=success, camera=view, before_drawing=env._render_callback, **options)
