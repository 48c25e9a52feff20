"""Push-T (gym-pusht) with the keys of the human demonstrations, an exact reset and a fast step.

The physics are those of gym-pusht, number for number; what differs: the step does no counting of contacts and no
shapely, and a start sets the block's angle before its position, as the environment of the demonstrations did
(gym-pusht does the reverse, which moves the block by about 30 px).
"""

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from worldjepa_envs.missing import require
from worldjepa_envs.overlap import Rectangles

pymunk = require("pymunk", "pusht")
_pusht = require("gym_pusht.envs.pusht", "pusht")

KEYPOINTS = np.array(
    [
        [9.26979, 90.04097],
        [-60.98347, -1.18673],
        [60.91276, -1.39336],
        [-0.27050, 25.54363],
        [-14.06493, 122.81585],
        [39.00274, 32.85740],
        [-39.96641, 32.72966],
        [-16.82434, 62.86318],
        [23.54146, -1.70029],
    ]
)
"""The nine keypoints of the human data set in the block's frame [9, 2] in px (medians over its 25,650 steps)."""

_BAR, _STEM = (-60.0, 0.0, 60.0, 30.0), (-15.0, 30.0, 15.0, 120.0)  # the T as x_low, y_low, x_high, y_high in px
_GOAL = (256.0, 256.0, math.pi / 4)
_BEHIND = (0.0, -18.0)  # where the agent is then, in the T's frame: it touches the bar at -15
_DT, _NUM_SUBSTEPS = 0.01, 10
_STIFFNESS, _DAMPING = 100.0, 20.0

REACH = 100.0
"""Largest relative action in px, as in DINO-WM's Push-T."""
GOAL_DISTANCE, GOAL_ANGLE = 20.0, math.pi / 9
"""A goal state is reached where agent and block together are nearer than so many px and the block is turned by less
than so many rad: DINO-WM's criterion (arXiv 2411.04983), which stable-worldmodel and LeWorldModel use."""


class PushTEnv(_pusht.PushTEnv):
    """Push the T onto its goal, until they overlap by ``success_threshold``.

    Action [2]: where the agent shall go, px in [0, 512], at 10 Hz; with ``relative_actions`` counted from where it is,
    in [-100, 100].
    Observation: "agent_pos" [2], "block_pose" [3] (x, y in px of the body's origin; angle in [0, 2 pi)),
    "keypoints" [18] (x0, y0, x1, ... in px), "image" [96, 96, 3] uint8.
    Info: ``score`` is the covered part of the goal (raw, 0 to 1), ``is_success`` whether that is enough; at reset too.
    Reward: the coverage divided by ``success_threshold``, clipped to [0, 1], as in gym-pusht.
    ``reset(options={"state": [agent x, y, block x, y, angle]})`` starts from that state; ``"goal"``, five such numbers,
    makes that state the episode's goal: success is then to be there (`reached`), the score the coverage of the block's
    place in it. Pictures show the usual target all the same, as those of the demonstrations do.

    Args:
        obs_type: "state", "pixels" ("image" alone) or "state+pixels".
        success_threshold: coverage at which the episode is solved and ends, in (0, 1].
        image_size: rows and columns of "image".
        render_mode: None or "rgb_array".
        render_size: rows and columns of ``render()``.
        goal_obs: add "goal_<key>" for each key: the observation with the T on its goal and the agent behind its bar, or
            of the goal state that the reset was given.
        relative_actions: count actions from the agent's position.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in gymnasium.Env)
    score_name, path_key, hold_key = "coverage", "agent_pos", "agent_pos"
    """What the score is called, the observation whose travelled distance is an episode's path length, and the one that,
    given back as the action, leaves things as they are."""

    def __init__(
        self,
        obs_type: str = "state",
        success_threshold: float = 0.95,
        image_size: int = 96,
        render_mode: str | None = None,
        render_size: int = 384,
        goal_obs: bool = False,
        relative_actions: bool = False,
    ) -> None:
        if obs_type not in ("state", "pixels", "state+pixels"):
            raise ValueError(f'obs_type must be "state", "pixels" or "state+pixels", not {obs_type!r}')
        if not 0.0 < success_threshold <= 1.0:
            raise ValueError(f"success_threshold must be in (0, 1], not {success_threshold}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array", not {render_mode!r}')
        super().__init__(render_mode="rgb_array")
        self.render_mode = render_mode
        self.obs_type = obs_type
        self.success_threshold = success_threshold
        self._sizes = (image_size, render_size)
        self._goal, self._goal_state = Rectangles((_BAR, _STEM), _GOAL), None
        self.relative_actions = relative_actions
        if relative_actions:
            self.action_space, self.hold_key = _box([-REACH] * 2, [REACH] * 2), None
        space: dict[str, spaces.Space] = {}
        if obs_type != "pixels":
            space["agent_pos"] = _box([-64.0] * 2, [576.0] * 2)
            space["block_pose"] = _box([-64.0, -64.0, 0.0], [576.0, 576.0, 2 * math.pi])
            space["keypoints"] = _box([-192.0] * 18, [704.0] * 18)
        if obs_type != "state":
            space["image"] = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        if goal_obs:
            space.update({f"goal_{key}": leaf for key, leaf in list(space.items())})
        self.observation_space = spaces.Dict(space)
        self._usual_goal_obs = self._observe_goal(_solved_state()) if goal_obs else {}
        self._goal_obs = self._usual_goal_obs

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, np.ndarray], dict]:
        """Start from ``options["state"]`` (5 numbers), else from a random state; ``options["goal"]``: see the class."""
        super(_pusht.PushTEnv, self).reset(seed=seed)
        state, goal = (_five_numbers(options or {}, name) for name in ("state", "goal"))
        self._aim(goal)
        self._start(self._sample() if state is None else state)
        score = self._get_coverage()
        return self.get_obs(), {"is_success": self._solved(score), "score": score}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """Move towards ``action`` (the target clipped to [0, 512]) for 0.1 s."""
        action = np.asarray(action, np.float64)
        if action.shape != (2,) or not np.isfinite(action).all():
            raise ValueError(f"action must be 2 finite numbers, got {action!r}")
        (x, y), (speed_x, speed_y) = self.agent.position, self.agent.velocity
        target = action + np.array([x, y]) if self.relative_actions else action
        goal_x, goal_y = self._last_action = np.clip(target, 0.0, 512.0).tolist()
        for _ in range(_NUM_SUBSTEPS):
            speed_x += (_STIFFNESS * (goal_x - x) - _DAMPING * speed_x) * _DT
            speed_y += (_STIFFNESS * (goal_y - y) - _DAMPING * speed_y) * _DT
            self.agent.velocity = (speed_x, speed_y)
            self.space.step(_DT)
            x, y = x + speed_x * _DT, y + speed_y * _DT  # the agent is kinematic: nothing pushes it
        score = self._get_coverage()
        solved = self._solved(score)
        reward = min(score / self.success_threshold, 1.0)
        return self.get_obs(), reward, solved, False, {"is_success": solved, "score": score}

    def render(self) -> np.ndarray | None:
        """An image [render_size, render_size, 3] uint8 with the target of the agent marked, or None."""
        return None if self.render_mode is None else self._picture(self._sizes[1], mark=True)

    def get_obs(self) -> dict[str, np.ndarray]:
        """The observation now."""
        return {**self._now(), **{key: value.copy() for key, value in self._goal_obs.items()}}

    def _observe_goal(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """The observation of a state, as a goal's."""
        self._start(state)
        return {f"goal_{key}": value for key, value in self._now().items()}

    def _aim(self, goal: np.ndarray | None) -> None:
        """Make a state the goal of the episode; None: the usual one."""
        if goal is None and self._goal_state is None:
            return
        self._goal_state = goal
        self._goal = Rectangles((_BAR, _STEM), _GOAL if goal is None else tuple(goal[2:].tolist()))
        if self._usual_goal_obs:
            self._goal_obs = self._usual_goal_obs if goal is None else self._observe_goal(goal)

    def _solved(self, score: float) -> bool:
        if self._goal_state is None:
            return score >= self.success_threshold
        now = np.array([*self.agent.position, *self.block.position, self.block.angle])
        return reached(now, self._goal_state)

    def _start(self, state: np.ndarray) -> None:
        self._last_action = None
        self._setup()
        self.agent.position = tuple(state[:2].tolist())
        self.block.angle = float(state[4])
        self.block.position = tuple(state[2:4].tolist())
        self.space.step(_DT)

    def _now(self) -> dict[str, np.ndarray]:
        obs: dict[str, Any] = {}
        if self.obs_type != "pixels":
            angle = self.block.angle % (2 * math.pi)
            pose = np.array([*self.block.position, angle])
            obs["agent_pos"] = np.array(self.agent.position, np.float32)
            obs["block_pose"] = pose.astype(np.float32)
            obs["keypoints"] = keypoints(pose).astype(np.float32)
        if self.obs_type != "state":
            obs["image"] = self._picture(self._sizes[0], mark=False)
        return obs

    def _sample(self) -> np.ndarray:
        """A random state; the same draws as gym-pusht's."""
        draw = self.np_random
        places = [draw.integers(50, 450), draw.integers(50, 450), draw.integers(100, 400), draw.integers(100, 400)]
        return np.array([*places, draw.uniform(-math.pi, math.pi)])

    def _setup(self) -> None:
        self.space = pymunk.Space()
        self.space.gravity = 0, 0
        self.space.damping = 0.0
        corners = [((5, 506), (5, 5)), ((5, 5), (506, 5)), ((506, 5), (506, 506)), ((5, 506), (506, 506))]
        self.space.add(*(self.add_segment(self.space, a, b, 2) for a, b in corners))
        self.agent = self.add_circle(self.space, (256, 400), 15)
        self.block, self._block_shapes = self.add_tee(self.space, (256, 300), 0)
        self.goal_pose = np.array(_GOAL)

    def _get_coverage(self) -> float:
        return self._goal.coverage((*self.block.position, self.block.angle))

    def _picture(self, size: int, *, mark: bool) -> np.ndarray:
        self.render_mode, mode = "rgb_array", self.render_mode
        image = self._get_img(self._draw(), width=size, height=size, render_action=mark)
        self.render_mode = mode
        return np.ascontiguousarray(image)


def keypoints(pose: np.ndarray) -> np.ndarray:
    """The keypoints [..., 18] (x0, y0, x1, ... in px) of blocks at ``pose`` [..., 3] (x, y in px, angle in rad)."""
    cos, sin = np.cos(pose[..., 2, None]), np.sin(pose[..., 2, None])
    x = pose[..., 0, None] + cos * KEYPOINTS[:, 0] - sin * KEYPOINTS[:, 1]
    y = pose[..., 1, None] + sin * KEYPOINTS[:, 0] + cos * KEYPOINTS[:, 1]
    return np.stack([x, y], -1).reshape(*pose.shape[:-1], 18)


def reached(state: np.ndarray, goal: np.ndarray) -> bool:
    """Whether states of 5 numbers (agent x, y, block x, y, angle) are alike to `GOAL_DISTANCE` and `GOAL_ANGLE`."""
    turned = abs((state[4] - goal[4] + math.pi) % (2 * math.pi) - math.pi)
    return bool(np.linalg.norm(state[:4] - goal[:4]) < GOAL_DISTANCE and turned < GOAL_ANGLE)


def _five_numbers(options: dict[str, Any], name: str) -> np.ndarray | None:
    if options.get(name) is None:
        return None
    state = np.asarray(options[name], np.float64)
    if state.shape != (5,) or not np.isfinite(state).all():
        raise ValueError(f"options[{name!r}] must be 5 numbers (agent x, y, block x, y, angle), got {state!r}")
    return state


def _solved_state() -> np.ndarray:
    """The T on its goal and the agent behind its bar."""
    x, y, angle = _GOAL
    cos, sin = math.cos(angle), math.sin(angle)
    agent = x + cos * _BEHIND[0] - sin * _BEHIND[1], y + sin * _BEHIND[0] + cos * _BEHIND[1]
    return np.array([*agent, *_GOAL])


def _box(low: list[float], high: list[float]) -> spaces.Box:
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))
