"""FastRender: images of MuJoCo environments without the effects that cost most on a CPU, and never black."""

from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa_envs import rendering


class FastRender(gym.Wrapper):
    """Switch off shadows, reflections, sky, haze and multisampling, and check every frame.

    For environments of Gymnasium, Gymnasium-Robotics and Meta-World (those with a ``mujoco_renderer``) and of
    robosuite (with a ``sim``; flags only, its context is its own). The OpenGL context is made current before each
    frame, so that several environments may render in turn, which they cannot without this wrapper.
    Environments of worldjepa need no wrapper: they are drawn like this already, and only their frames are checked.

    Wrap before anything that calls ``render()``, such as ``AddRenderObservation`` or ``RecordVideo``.

    Raises:
        ValueError: the environment is not drawn by MuJoCo.
        RuntimeError: ``render()``: no OpenGL context can be made (says what to install or set), or the frame is of
            one colour (its context is lost).
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        inner: Any = env.unwrapped
        self._renderer = getattr(inner, "mujoco_renderer", None)
        known = self._renderer is not None or hasattr(inner, "sim") or hasattr(inner, "_cameras")
        if not known:
            raise ValueError(
                f"FastRender does not know how {type(inner).__name__} is drawn: expected an environment of Gymnasium "
                "MuJoCo, Gymnasium-Robotics, Meta-World (attribute mujoco_renderer) or robosuite (attribute sim)"
            )
        if self._renderer is not None:
            quality = inner.model.vis.quality
            quality.offsamples = quality.shadowsize = 0
            self._drop_viewers()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """As of the environment."""
        result = self.env.reset(seed=seed, options=options)
        self._disable_in_robosuite()
        return result

    def render(self) -> Any:
        """The environment's image; frames are checked, other results passed on."""
        if self._renderer is not None and self.env.render_mode != "human":
            viewer = self._viewer()
            viewer.make_context_current()
            rendering.disable_effects(viewer.scn)
        self._disable_in_robosuite()
        frame = self.env.render()
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8:
            rendering.check_frame(frame, type(self.env.unwrapped).__name__)
        return frame

    def _viewer(self) -> Any:
        assert self._renderer is not None
        try:
            return self._renderer._get_viewer(self.env.render_mode)
        except Exception as error:  # each GL backend raises its own kind
            raise rendering.rendering_error() from error

    def _drop_viewers(self) -> None:
        """Close viewers made with multisampling, now: freed later they would blank the frames of newer ones."""
        viewers = getattr(self._renderer, "_viewers", {})
        for viewer in list(viewers.values()):
            viewer.close()
        viewers.clear()
        if self._renderer is not None:
            self._renderer.viewer = None

    def _disable_in_robosuite(self) -> None:
        context = getattr(getattr(self.env.unwrapped, "sim", None), "_render_context_offscreen", None)
        if context is not None:
            rendering.disable_effects(context.scn)
