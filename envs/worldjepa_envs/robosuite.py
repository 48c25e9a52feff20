"""robosuite tasks with the observation keys of robomimic files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldjepa_envs import rendering
from worldjepa_envs.missing import require


class RobosuiteEnv(gym.Env[Any, Any]):
    """A robosuite task as robomimic records it.

    Observation: "object" and all keys of the robots ("robot0_eef_pos", ...) in float32; with images also
    "<camera>_image", uint8 and upright (robosuite's are upside down). Info ``is_success`` is robosuite's own test.
    A seed given to ``reset`` decides where the objects are; what robosuite draws when it loads the model, such as the
    size of Lift's cube, is the same in every environment. The time limit is the caller's to add.

    Args:
        env_name: robosuite's name, such as "Lift".
        obs_type: "state", "pixels" or "state+pixels"; None: as "use_camera_obs" says.
        hard_reset: load the model anew at each reset (1.5 s instead of 5 ms; objects move without it too).
        terminate_on_success: end the episode at the first solved step.
        env_kwargs: robosuite's own; arm controllers in the format before robosuite 1.5 are converted.

    Raises:
        ModuleNotFoundError: robosuite is not installed; names the extra.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  (as in gymnasium.Env)

    def __init__(
        self,
        env_name: str,
        *,
        obs_type: str | None = None,
        hard_reset: bool = False,
        render_mode: str | None = None,
        render_size: int = 384,
        terminate_on_success: bool = True,
        **env_kwargs: Any,
    ) -> None:
        if obs_type not in (None, "state", "pixels", "state+pixels"):
            raise ValueError(f'obs_type must be None, "state", "pixels" or "state+pixels", not {obs_type!r}')
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
        robosuite = require("robosuite", "robosuite")
        images = bool(env_kwargs.get("use_camera_obs")) if obs_type is None else obs_type != "state"
        self._states = obs_type != "pixels"
        self._images, self._terminate_on_success = images, terminate_on_success
        self.render_mode, self._render_size = render_mode, render_size
        env_kwargs.update(
            hard_reset=hard_reset,
            has_renderer=False,
            has_offscreen_renderer=images or render_mode is not None,
            ignore_done=True,
            use_object_obs=True,
            use_camera_obs=images,
        )
        _convert_controllers(env_kwargs)
        with _global_generator(0):
            self.robosuite: Any = robosuite.make(env_name, **env_kwargs)
        for name in self.robosuite.observation_names:
            if "joint_pos" in name or "eef_vel" in name:  # robomimic records these too
                self.robosuite.modify_observable(observable_name=name, attribute="active", modifier=True)
        low, high = self.robosuite.action_spec
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.observation_space = spaces.Dict({key: _space(value) for key, value in self._start().items()})

    @property
    def sim(self) -> Any:
        """robosuite's simulation (model, data and OpenGL context)."""
        return self.robosuite.sim

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, np.ndarray], dict]:
        """A new placement of the objects."""
        super().reset(seed=seed)
        return self._start(), {"is_success": self._solved()}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """One control period of robosuite."""
        raw, reward, _, info = self.robosuite.step(np.asarray(action, np.float64))[:4]
        solved = self._solved()
        ended = solved and self._terminate_on_success
        return self._observe(raw), float(reward), ended, False, {**info, "is_success": solved}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The front view [render_size, render_size, 3] uint8, or None without a render mode."""
        if self.render_mode is None:
            return None
        self._disable_effects()
        frame = self.sim.render(height=self._render_size, width=self._render_size, camera_name="agentview")
        return rendering.check_frame(np.ascontiguousarray(frame[::-1]), "robosuite")

    def close(self) -> None:
        """Close robosuite's environment."""
        self.robosuite.close()

    def _start(self) -> dict[str, np.ndarray]:
        seed = int(self.np_random.integers(2**32))
        if isinstance(getattr(self.robosuite, "rng", None), np.random.Generator):  # robosuite 1.5.2 and later
            self.robosuite.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        with _global_generator(seed):
            raw = self.robosuite.reset()
        return self._observe(raw)

    def _observe(self, raw: dict[str, Any]) -> dict[str, np.ndarray]:
        self._disable_effects()
        obs: dict[str, np.ndarray] = {}
        if self._states:
            obs["object"] = np.asarray(raw["object-state"], np.float32).reshape(-1)
            prefixes = tuple(robot.robot_model.naming_prefix for robot in self.robosuite.robots)
            for key, value in raw.items():
                if key.startswith(prefixes) and not key.endswith(("proprio-state", "_image")):
                    obs[key] = np.asarray(value, np.float32).reshape(-1)
        if self._images:
            for key, value in raw.items():
                if key.endswith("_image"):
                    obs[key] = rendering.check_frame(np.ascontiguousarray(value[::-1]), key)
        return obs

    def _solved(self) -> bool:
        solved = self.robosuite._check_success()
        return bool(solved["task"] if isinstance(solved, dict) else solved)

    def _disable_effects(self) -> None:
        context = getattr(self.sim, "_render_context_offscreen", None)
        if context is not None:
            rendering.disable_effects(context.scn)


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    """Numpy's global generator, which robosuite before 1.5.2 draws from, seeded for a while."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _convert_controllers(env_kwargs: dict[str, Any]) -> None:
    """Turn arm controllers in the format before robosuite 1.5 into the composite ones it wants."""
    config = env_kwargs.get("controller_configs")
    if not isinstance(config, dict) or "body_parts" in config:
        return
    factory = require("robosuite.controllers.composite.composite_controller_factory", "robosuite")
    robots = env_kwargs["robots"]
    robot = robots if isinstance(robots, str) else robots[0]
    env_kwargs["controller_configs"] = factory.refactor_composite_controller_config(config, robot, ["right"])


def _space(value: np.ndarray) -> spaces.Space:
    if value.dtype == np.uint8:
        return spaces.Box(0, 255, value.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, value.shape, np.float32)
