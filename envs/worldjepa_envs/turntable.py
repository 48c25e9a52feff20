"""Turntable: an object seen under known rotations, floor hues and light hues, after 3DIEBench."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy import ndarray

from worldjepa_envs.turntable_meshes import find_meshes
from worldjepa_envs.turntable_objects import CLASSES, NUM_OBJECTS, choose_classes, colours_of, make_object
from worldjepa_envs.turntable_rotation import RANGES, angle_between, canonical, compose, draw
from worldjepa_envs.turntable_stage import Stage
from worldjepa_envs.variation import Stream

TOLERANCE = math.radians(10.0)
"""Angle in rad from the goal's rotation within which a goal is reached."""
STILL = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
"""The action that changes nothing."""
_OPTIONS = ("label", "object", "rotation", "floor_hue", "light_hue")


class TurntableEnv(gym.Env[dict[str, ndarray], ndarray]):
    """Turn an object, and change the colours of floor and light; nothing else moves.

    After 3DIEBench (Garrido et al. 2023, arXiv 2302.10283): label and object stay through an episode, each step shows
    another view. The label of a seeded reset is (seed + resets since then) modulo the number of classes, so that labels
    come equally often; the object's number, its rotation and the hues are drawn from the seed.

    Action [6]: quaternion x, y, z, w of the rotation R_t^-1 R_t+1, scaled to unit (q and -q are the same), and the
    changes of floor and light hue, which end at 0 and 1.
    Observation: "image" [image_size, image_size, 3] uint8; "rotation" [4] unit quaternion x, y, z, w with w >= 0, from
    object to world; "floor_hue" and "light_hue" [1] in [0, 1], once round the colour circle; "label" [1] place of the
    class in ``classes``; "object" [1] number of the object in its class.
    With ``goal_obs`` a view of the same object, under the same hues, is to be reached within 10 degrees: the info has
    ``is_success`` and ``score`` (1 - angle left / angle at the start); reward is the increase of the score, plus 1 on
    success. "hold" [6] is then the action that changes nothing. Without it there is no success and the reward is 0.
    ``reset(options=...)`` fixes what it names: "label" (number or name), "object" (number), "rotation" [4],
    "floor_hue", "light_hue".

    Args:
        obs_type: "state" (all but the image), "pixels" ("image" alone) or "state+pixels".
        image_size: rows and columns of "image".
        render_mode: None or "rgb_array".
        render_size: rows and columns of ``render()``.
        classes: names of the classes to show, in the order of their labels; None: all.
        objects: (low, high): numbers are drawn from low <= number < high, to hold objects out; None: all there are.
        rotations: "inside": Euler angles about x, y, z uniform in [-pi/2, pi/2]; "outside": the other rotations;
            "near": the angles in [-pi/4, pi/4], as worldjepa/TurntableNear-v0 has it.
        meshes: folder of .obj and .stl files, one sub-folder a class, to show instead of the objects made of geoms.
        goal_obs: add "goal_rotation", "goal_image", ...: the observation of a view to be reached.
        terminate_on_success: end the episode when the goal is reached; else it runs to its time limit.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in gymnasium.Env)
    score_name, hold_key = "progress", "hold"
    """What the score is called, and the observation that says which action changes nothing."""

    def __init__(
        self,
        obs_type: str = "state+pixels",
        image_size: int = 64,
        render_mode: str | None = None,
        render_size: int = 384,
        classes: Sequence[str] | None = None,
        objects: Sequence[int] | None = None,
        rotations: str = "inside",
        meshes: str | Path | None = None,
        goal_obs: bool = False,
        terminate_on_success: bool = True,
    ) -> None:
        _check(obs_type, image_size, render_mode, render_size, rotations)
        self._meshes = None if meshes is None else find_meshes(meshes)
        known = dict.fromkeys(CLASSES, NUM_OBJECTS)
        if self._meshes is not None:
            known = {name: len(files) for name, files in self._meshes.files.items()}
        self.classes = choose_classes(classes, list(known))
        self._counts = [known[name] for name in self.classes]
        self._numbers = [_range(objects, count) for count in self._counts]
        self.obs_type, self.render_mode = obs_type, render_mode
        self._image_size, self._render_size, self._rotations = image_size, render_size, rotations
        self._goal_obs, self._terminate_on_success = goal_obs, terminate_on_success
        self._stage: Stage | None = None
        self._stream: Stream | None = None
        self._label = self._object = 0
        self._pose = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
        self._goal, self._goal_seen = self._pose, {}
        self._first = self._score = 0.0
        self.action_space = spaces.Box(-1.0, 1.0, (6,), np.float32)
        self.observation_space: Any = self._space()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, ndarray], dict]:
        """Start an episode with another object.

        Args:
            seed: seeds the episode's randomness, and chooses the label.
            options: what to fix, see the class.

        Raises:
            ValueError: an option that there is not, or a value outside of its space.
        """
        super().reset(seed=seed)
        if seed is not None or self._stream is None:
            self._stream = Stream(self.np_random, self.np_random_seed)
        self._stream.episode += 1
        self._draw(self._stream, options or {})
        if self._stage is not None:
            self._show()
        if self._goal_obs:
            self._goal = np.concatenate([self._far(self._stream.own("goal")), self._pose[4:]])
            self._goal_seen = {f"goal_{key}": value for key, value in self._look(self._goal).items()}
            self._first = self._angle()
            self._score = 0.0
        return self._observe(), self._info()

    def step(self, action: ndarray) -> tuple[dict[str, ndarray], float, bool, bool, dict]:
        """Turn the object and change the hues.

        Raises:
            ValueError: another shape, numbers that are not finite, or a quaternion of zero.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (6,) or not np.isfinite(action).all():
            raise ValueError(f"action must be finite with shape (6,), got {action!r}")
        norm = float(np.linalg.norm(action[:4]))
        if norm < 1e-6:
            raise ValueError(
                f"action[:4] must be a quaternion x, y, z, w, not zero; (0, 0, 0, 1) turns nothing; got {action!r}"
            )
        turn = compose(self._pose[:4], action[:4] / norm)
        hues = np.clip(self._pose[4:] + np.clip(action[4:], -1.0, 1.0), 0.0, 1.0)
        self._pose = np.concatenate([turn / np.linalg.norm(turn), hues])
        if not self._goal_obs:
            return self._observe(), 0.0, False, False, {}
        before, self._score = self._score, min(max(1.0 - self._angle() / self._first, 0.0), 1.0)
        info = self._info()
        solved = info["is_success"]
        reward = self._score - before + float(solved)
        return self._observe(), reward, solved and self._terminate_on_success, False, info

    def render(self) -> ndarray | None:  # type: ignore[override]
        """An image [render_size, render_size, 3] uint8, or None without a render mode."""
        return None if self.render_mode is None else self._picture(self._pose, self._render_size)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def _draw(self, episode: Stream, options: dict[str, Any]) -> None:
        """Choose label, object and pose; what the options fix leaves the rest as it would be."""
        if unknown := [name for name in options if name not in _OPTIONS]:
            raise ValueError(f"unknown options {unknown}; there are {', '.join(_OPTIONS)}")
        random = episode.generator
        fraction, rotation, hues = random.uniform(), draw(random, self._rotations), random.uniform(size=2)
        label = options.get("label", (episode.seed + episode.episode) % len(self.classes))
        self._label = self.classes.index(label) if label in self.classes else self._number("label", label, self.classes)
        low, high = self._numbers[self._label]
        self._object = low + int(fraction * (high - low))
        if "object" in options:
            self._object = self._number("object", options["object"], range(self._counts[self._label]))
        if "rotation" in options:
            rotation = _unit(options["rotation"])
        hues = [_hue(name, options.get(name, hue)) for name, hue in zip(_OPTIONS[3:], hues.tolist())]
        self._pose = np.array([*rotation, *hues])

    def _number(self, name: str, value: Any, among: Sequence[Any]) -> int:
        if not isinstance(value, int | np.integer) or not 0 <= value < len(among):
            more = f" or one of {', '.join(self.classes)}" if name == "label" else ""
            raise ValueError(f"options[{name!r}] must be in 0..{len(among) - 1}{more}, got {value!r}")
        return int(value)

    def _far(self, random: np.random.Generator) -> ndarray:
        """A rotation [4] that is not near the present one."""
        while True:
            rotation = draw(random, self._rotations)
            if angle_between(self._pose[:4], rotation) > 2 * TOLERANCE:
                return rotation

    def _angle(self) -> float:
        return float(angle_between(self._pose[:4], self._goal[:4]))

    def _info(self) -> dict[str, Any]:
        return {"is_success": self._angle() < TOLERANCE, "score": self._score} if self._goal_obs else {}

    def _observe(self) -> dict[str, ndarray]:
        obs = self._look(self._pose)
        if self._goal_obs:
            obs.update({key: value.copy() for key, value in self._goal_seen.items()})
            if self.obs_type != "pixels":
                obs["hold"] = np.array(STILL, np.float32)
        return obs

    def _look(self, pose: ndarray) -> dict[str, ndarray]:
        obs: dict[str, ndarray] = {}
        if self.obs_type != "pixels":
            parts = {"rotation": pose[:4], "floor_hue": pose[4:5], "light_hue": pose[5:]}
            parts |= {"label": [self._label], "object": [self._object]}
            obs = {key: np.array(value, np.float32) for key, value in parts.items()}
        if self.obs_type != "state":
            obs["image"] = self._picture(pose, self._image_size)
        return obs

    def _picture(self, pose: ndarray, size: int) -> ndarray:
        if self._stage is None:
            self._stage = Stage(self._meshes)
            self._show()
        self._stage.pose(pose[:4], float(pose[4]), float(pose[5]))
        return self._stage.picture(size)

    def _show(self) -> None:
        """Put the object of the episode on the stage."""
        assert self._stage is not None
        name = self.classes[self._label]
        if self._meshes is None:
            self._stage.put(make_object(name, self._object))
        else:
            self._stage.put_mesh(self._meshes.index(name, self._object), colours_of(name, self._object)[0])

    def _space(self) -> spaces.Dict:
        space: dict[str, spaces.Space] = {}
        if self.obs_type != "pixels":
            most = max(len(self.classes) - 1.0, 1.0), max(max(self._counts) - 1.0, 1.0)
            space = {
                "rotation": spaces.Box(np.array([-1, -1, -1, 0], np.float32), np.ones(4, np.float32)),
                "floor_hue": spaces.Box(0.0, 1.0, (1,), np.float32),
                "light_hue": spaces.Box(0.0, 1.0, (1,), np.float32),
                "label": spaces.Box(0.0, most[0], (1,), np.float32),
                "object": spaces.Box(0.0, most[1], (1,), np.float32),
            }
        if self.obs_type != "state":
            space["image"] = spaces.Box(0, 255, (self._image_size, self._image_size, 3), np.uint8)
        if self._goal_obs:
            space.update({f"goal_{key}": leaf for key, leaf in list(space.items())})
            if self.obs_type != "pixels":
                space["hold"] = spaces.Box(0.0, 1.0, (6,), np.float32)
        return spaces.Dict(space)


def _check(obs_type: str, image_size: int, render_mode: str | None, render_size: int, rotations: str) -> None:
    if obs_type not in ("state", "pixels", "state+pixels"):
        raise ValueError(f'obs_type must be "state", "pixels" or "state+pixels", not {obs_type!r}')
    if image_size < 1 or render_size < 1:
        raise ValueError(f"image_size and render_size must be at least 1, not {image_size} and {render_size}")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
    if rotations not in RANGES:
        raise ValueError(f"rotations must be one of {', '.join(RANGES)}, not {rotations!r}")


def _range(objects: Sequence[int] | None, count: int) -> tuple[int, int]:
    low, high = (0, count) if objects is None else objects
    if not 0 <= low < min(high, count):
        raise ValueError(f"objects must be (low, high) with 0 <= low < high, below {count} objects, got {objects}")
    return int(low), int(min(high, count))


def _unit(rotation: Any) -> ndarray:
    quaternion = np.asarray(rotation, np.float64)
    if quaternion.shape != (4,) or not abs(np.linalg.norm(quaternion) - 1.0) < 1e-3:
        raise ValueError(f"options['rotation'] must be a unit quaternion x, y, z, w, got {rotation!r}")
    return canonical(quaternion / np.linalg.norm(quaternion))


def _hue(name: str, value: Any) -> float:
    hue = np.asarray(value, np.float64)
    if hue.size != 1 or not 0.0 <= hue.item() <= 1.0:
        raise ValueError(f"options[{name!r}] must be in [0, 1], got {value!r}")
    return float(hue.item())
