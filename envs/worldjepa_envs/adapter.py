"""Adapter: a foreign environment with the observations and the info that worldjepa expects."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldjepa_envs.rendering import Camera

Parts = dict[str, np.ndarray]


class Adapter(gym.Wrapper):
    """Splits a foreign observation into float32 parts, adds an image, and says in info whether the task is solved.

    Args:
        env: the foreign environment, on a MuJoCo ``model`` and ``data``.
        split: its observation -> float32 parts by key.
        success: (observation, info) -> solved; asked at reset too, where info may be empty.
        camera: name of a camera of the model, or the attributes of a free camera.
        upside_down: the camera stands on its head; images are turned by 180 degrees.
        before_drawing: called before each image.
        obs_type: "state" (the parts), "pixels" ("image" alone) or "state+pixels".
        image_size: rows and columns of "image" (uint8 HWC).
        render_mode: None or "rgb_array".
        render_size: rows and columns of ``render()``.
        terminate_on_success: end the episode at the first solved step.
    """

    def __init__(
        self,
        env: gym.Env,
        *,
        split: Callable[[Any], Parts],
        success: Callable[[Any, dict], bool],
        camera: str | dict,
        upside_down: bool = False,
        before_drawing: Callable[[], None] = lambda: None,
        obs_type: str = "state",
        image_size: int = 96,
        render_mode: str | None = None,
        render_size: int = 384,
        terminate_on_success: bool = True,
    ) -> None:
        if obs_type not in ("state", "pixels", "state+pixels"):
            raise ValueError(f'obs_type must be "state", "pixels" or "state+pixels", not {obs_type!r}')
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
        super().__init__(env)
        self._split, self._success, self._before_drawing = split, success, before_drawing
        self._camera, self._upside_down, self._cameras = camera, upside_down, {}
        self._obs_type, self._terminate_on_success = obs_type, terminate_on_success
        self._image_size, self._render_size, self._render_mode = image_size, render_size, render_mode
        space: dict[str, spaces.Space] = {}
        if obs_type != "pixels":
            example = split(env.observation_space.sample())
            space = {key: spaces.Box(-np.inf, np.inf, part.shape, np.float32) for key, part in example.items()}
        if obs_type != "state":
            space["image"] = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = spaces.Dict(space)

    @property
    def render_mode(self) -> str | None:
        """None or "rgb_array"."""
        return self._render_mode

    @property
    def spec(self):
        """The registration; making it anew adapts anew, so the adapter is not listed as a wrapper."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Parts, dict]:
        """As of the environment, with ``is_success`` in info."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._observe(obs), {**info, "is_success": bool(self._success(obs, info))}

    def step(self, action: np.ndarray) -> tuple[Parts, float, bool, bool, dict]:
        """As of the environment, with ``is_success`` in info."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        solved = bool(self._success(obs, info))
        terminated = bool(terminated) or (solved and self._terminate_on_success)
        return self._observe(obs), float(reward), terminated, bool(truncated), {**info, "is_success": solved}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """An image [render_size, render_size, 3] uint8, or None without a render mode."""
        return None if self._render_mode is None else self._frame(self._render_size)

    def close(self) -> None:
        """Free the OpenGL contexts and close the environment."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()
        super().close()

    def _observe(self, obs: Any) -> Parts:
        parts = {} if self._obs_type == "pixels" else self._split(obs)
        if self._obs_type != "state":
            parts["image"] = self._frame(self._image_size)
        return parts

    def _frame(self, size: int) -> np.ndarray:
        inner: Any = self.env.unwrapped
        self._before_drawing()
        if size not in self._cameras:
            self._cameras[size] = Camera(inner.model, size, size, self._camera)
        frame = self._cameras[size].frame(inner.data)
        return np.ascontiguousarray(frame[::-1, ::-1]) if self._upside_down else frame
