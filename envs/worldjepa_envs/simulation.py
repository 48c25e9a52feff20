"""A Gymnasium environment on a small MuJoCo model: what Push and Reach have in common."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from worldjepa_envs import rendering  # isort: skip  (chooses the OpenGL backend before mujoco is imported)

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from worldjepa_envs.distractor import Panel
from worldjepa_envs.model_changes import Pristine, settle
from worldjepa_envs.variation import Factors, Stream, Value, Variation

_PANEL = Panel(32)


class Simulation(gym.Env[dict[str, np.ndarray], np.ndarray], ABC):
    """Steps a model at a control rate and turns it into observations, info and images.

    A task supplies ``_place`` (a start), ``_solve`` (a solved state), ``_command`` (action to controls), ``_parts``
    (the state observation), ``_error`` (distance from the goal, 0 = there) and ``_solved``.

    Info of every reset and step: ``is_success`` (bool) and ``score`` (1 - error / error at the start, clipped to
    [0, 1]). Reward: the increase of the score, plus 1 on success; so a return is the last score (+ 1 if solved).

    Args:
        xml: MJCF; must have a camera "camera" and a mocap body "goal" that marks the goal.
        parts: observation key -> (low, high) bounds of each state part, one number per dimension.
        action_dim: size of the action, each in [-1, 1].
        num_substeps: physics steps per action.
        obs_type: "state" (the parts), "pixels" ("image" alone) or "state+pixels" (both).
        image_size: rows and columns of "image" (uint8 HWC).
        render_mode: None or "rgb_array".
        render_size: rows and columns of ``render()``.
        terminate_on_success: end the episode at the first solved step; else it runs to its time limit.
        goal_obs: add "goal_<key>" for each key: the observation of a solved state, the same all through an episode.
        show_goal: the goal is marked in "image"; in ``render()`` it always is.
        factors, vary: the factors of variation, and what changes a pristine model so that their values hold.
        variation: what varies in each episode (see `worldjepa_envs.variation`); ``variations`` describes it.
        distractor: cover the edge of the image by patches that change colour at random with every step.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in gymnasium.Env)

    def __init__(
        self,
        *,
        xml: str,
        parts: dict[str, tuple[list[float], list[float]]],
        action_dim: int,
        num_substeps: int,
        obs_type: str,
        image_size: int,
        render_mode: str | None,
        render_size: int,
        terminate_on_success: bool,
        goal_obs: bool,
        show_goal: bool,
        factors: Factors,
        vary: Callable[[Any, dict[str, Value]], None],
        variation: Variation,
        distractor: bool,
    ) -> None:
        if obs_type not in ("state", "pixels", "state+pixels"):
            raise ValueError(f'obs_type must be "state", "pixels" or "state+pixels", not {obs_type!r}')
        if image_size < 1 or render_size < 1:
            raise ValueError(f"image_size and render_size must be at least 1, not {image_size} and {render_size}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self.obs_type = obs_type
        self.render_mode = render_mode
        self._num_substeps = num_substeps
        self._image_size, self._render_size = image_size, render_size
        self._terminate_on_success = terminate_on_success
        self._factors, self._vary = factors, vary
        self._always: dict[str, Value] = {"distractor": 1} if distractor else {}
        self._wanted = factors.check(variation)
        self._values = factors.defaults()
        self._pristine: Pristine | None = None
        self._stream: Stream | None = None
        self._noise = np.random.default_rng(0)
        self._patches = np.zeros((1, _PANEL.num_patches, 3), np.uint8)
        self._cameras: dict[int, rendering.Camera] = {}
        self._first_error = self._score = 0.0
        self._goal_obs: dict[str, np.ndarray] = {}
        self._goal_data = mujoco.MjData(self.model) if goal_obs else None
        self._show_goal = show_goal
        self._marker = np.flatnonzero(self.model.geom_bodyid == self.model.body("goal").id)
        self.action_space = spaces.Box(-1.0, 1.0, (action_dim,), np.float32)
        space: dict[str, spaces.Space] = {}
        if obs_type != "pixels":
            space = {
                k: spaces.Box(np.array(low, np.float32), np.array(high, np.float32)) for k, (low, high) in parts.items()
            }
        if obs_type != "state":
            space["image"] = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        if goal_obs:
            space.update({f"goal_{key}": leaf for key, leaf in list(space.items())})
        self.observation_space = spaces.Dict(space)

    @property
    def variations(self) -> dict[str, gym.Space]:
        """The factors of variation: name -> values."""
        return self._factors.spaces

    @property
    def variation(self) -> dict[str, Value]:
        """The value of each factor in this episode."""
        return dict(self._values)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, np.ndarray], dict]:
        """Start an episode, never one that is already solved.

        Args:
            seed: seeds the episode's randomness.
            options: {"state": numbers} starts from that state (see the task) instead of a random one;
                {"variation": ...} takes the place of the constructor's in this episode.
        """
        super().reset(seed=seed)
        options = options or {}
        if seed is not None or self._stream is None:
            self._stream = Stream(self.np_random, self.np_random_seed)
        self._stream.episode += 1
        self._apply(self._factors.check(options["variation"]) if "variation" in options else self._wanted, self._stream)
        mujoco.mj_resetData(self.model, self.data)
        state = options.get("state")
        self._place(None if state is None else np.asarray(state, np.float64))
        mujoco.mj_forward(self.model, self.data)
        self._first_error = max(self._error(), 1e-6)
        self._score = self._progress()
        if self._goal_data is not None:
            self._goal_obs = {f"goal_{key}": value for key, value in self._observe_goal(self._goal_data).items()}
        self._flicker()
        return self._observe(), {"is_success": self._solved(), "score": self._score}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """Apply an action, clipped to [-1, 1], for one control period."""
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(f"action must be finite with shape {self.action_space.shape}, got {action!r}")
        self._command(np.clip(action, -1.0, 1.0))
        mujoco.mj_step(self.model, self.data, nstep=self._num_substeps)
        solved, before = self._solved(), self._score
        self._score = self._progress()
        reward = self._score - before + float(solved)
        self._flicker()
        info = {"is_success": solved, "score": self._score}
        return self._observe(), reward, solved and self._terminate_on_success, False, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """An image [render_size, render_size, 3] uint8, or None without a render mode."""
        return None if self.render_mode is None else self._frame(self._render_size, mark=True)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()

    def _observe(self) -> dict[str, np.ndarray]:
        return {**self._now(), **{key: value.copy() for key, value in self._goal_obs.items()}}

    def _apply(self, wanted: dict[str, Value], episode: Stream) -> None:
        """Change the model so that what is ``wanted`` holds in this ``episode``."""
        values = self._factors.choose({**self._always, **wanted}, episode)
        self._noise = episode.own("noise")
        if values != self._values:
            if self._pristine is None:
                self._pristine = Pristine(self.model)
            self._pristine.restore()
            self._vary(self.model, values)
            settle(self.model)
            self._values = values

    def _flicker(self) -> None:
        if self._values["distractor"]:
            self._patches[0] = _PANEL.draw(self._noise)

    def _observe_goal(self, data: mujoco.MjData) -> dict[str, np.ndarray]:
        """The observation of a solved state, set up in ``data`` of its own so that the episode goes its way."""
        self._flicker()
        live, self.data = self.data, data
        try:
            mujoco.mj_resetData(self.model, data)
            data.mocap_pos[:], data.mocap_quat[:] = live.mocap_pos, live.mocap_quat
            self._solve()
            mujoco.mj_forward(self.model, data)
            return self._now()
        finally:
            self.data = live

    def _now(self) -> dict[str, np.ndarray]:
        obs: dict[str, np.ndarray] = {}
        if self.obs_type != "pixels":
            obs = {key: np.array(value, np.float32) for key, value in self._parts().items()}
        if self.obs_type != "state":
            obs["image"] = self._frame(self._image_size, mark=self._show_goal)
        return obs

    def _frame(self, size: int, *, mark: bool) -> np.ndarray:
        if size not in self._cameras:
            self._cameras[size] = rendering.Camera(self.model, size, size, "camera")
        self.model.geom_rgba[self._marker, 3] = float(mark)
        frame = self._cameras[size].frame(self.data)
        _PANEL.paint(frame[None], self._patches, np.array([self._values["distractor"]], bool))
        return frame

    def _progress(self) -> float:
        return min(max(1.0 - self._error() / self._first_error, 0.0), 1.0)

    @abstractmethod
    def _place(self, state: np.ndarray | None) -> None:
        """Set ``qpos``: from ``state``, or randomly with ``self.np_random``."""

    @abstractmethod
    def _solve(self) -> None:
        """Set ``qpos`` to a state that solves this episode."""

    @abstractmethod
    def _command(self, action: np.ndarray) -> None:
        """Set ``ctrl`` from an action in [-1, 1]."""

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """The state observation, by key."""

    @abstractmethod
    def _error(self) -> float:
        """Distance from the goal in metres (angles weighted), 0 = there."""

    @abstractmethod
    def _solved(self) -> bool:
        """Whether the task is solved now."""
