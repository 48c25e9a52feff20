"""Reach: a two-link arm brings its fingertip to a target."""

import math
from typing import Any

import numpy as np

from worldjepa_envs.reach_factors import FACTORS, vary_reach
from worldjepa_envs.simulation import Simulation
from worldjepa_envs.variation import Variation

UPPER, FORE = 0.24, 0.2
"""Lengths of the two links in m."""
MAX_SPEED = 2.0
"""Speed of the joints that the servos aim at, in rad/s at action 1."""
SHOULDER_RANGE = 2.6
"""The shoulder turns by +-2.6 rad; the arm points along x at 0."""
ELBOW_RANGE = (0.15, 2.5)
"""The elbow bends to the left only (rad), so each point is reached by one posture."""
TOLERANCE = 0.02

_LIMITS = f'range="{ELBOW_RANGE[0] - 0.1} {ELBOW_RANGE[1] + 0.1}"'
_XML = f"""
<mujoco model="reach">
  <compiler angle="radian"/>
  <option timestep="0.01" integrator="implicitfast" iterations="10">
    <flag gravity="disable" contact="disable"/>
  </option>
  <visual>
    <quality offsamples="0" shadowsize="0" numslices="16" numstacks="8"/>
    <headlight ambient=".5 .5 .5" diffuse=".15 .15 .15" specular="0 0 0"/>
    <map znear=".01"/>
  </visual>
  <default><default class="drawn"><geom type="cylinder" contype="0" conaffinity="0"/></default></default>
  <worldbody>
    <light pos="-.4 -.4 1.4" dir=".3 .3 -1" directional="true" diffuse=".35 .35 .35" specular="0 0 0"
           castshadow="false"/>
    <camera name="camera" pos="0 -.12 1.25" xyaxes="1 0 0 0 .995 .096" fovy="43"/>
    <geom name="table" class="drawn" type="box" size=".51 .51 .01" pos="0 0 -.01" rgba=".86 .83 .78 1"/>
    <geom class="drawn" type="box" size="2 2 .01" pos="0 0 -.03" rgba=".25 .29 .35 1"/>
    <body name="goal" mocap="true">
      <geom class="drawn" size=".034 .0005" pos="0 0 .0005" rgba=".10 .42 .32 1"/>
      <geom class="drawn" size=".026 .0005" pos="0 0 .0014" rgba=".50 .74 .60 1"/>
    </body>
    <geom class="drawn" size=".05 .02" pos="0 0 .02" rgba=".25 .29 .35 1"/>
    <body name="upper" pos="0 0 .05">
      <inertial pos="{UPPER / 2} 0 0" mass=".5" diaginertia=".003 .003 .003"/>
      <joint name="shoulder" axis="0 0 1" damping=".02" limited="true" range="-2.8 2.8"/>
      <geom class="drawn" type="capsule" fromto="0 0 0 {UPPER} 0 0" size=".022" rgba=".33 .45 .68 1"/>
      <body name="fore" pos="{UPPER} 0 .02">
        <inertial pos="{FORE / 2} 0 0" mass=".3" diaginertia=".0015 .0015 .0015"/>
        <joint name="elbow" axis="0 0 1" damping=".01" limited="true" {_LIMITS}/>
        <geom class="drawn" type="capsule" fromto="0 0 0 {FORE} 0 0" size=".018" rgba=".45 .57 .79 1"/>
        <geom name="tip" class="drawn" size=".018 .012" pos="{FORE} 0 .012" rgba=".92 .49 .26 1"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="shoulder" kv=".9" forcerange="-2 2"/>
    <velocity joint="elbow" kv=".25" forcerange="-.5 .5"/>
  </actuator>
</mujoco>
"""


class ReachEnv(Simulation):
    """Bring the fingertip within 2 cm of the target.

    Action [2] in [-1, 1]: speeds that the servos of shoulder and elbow aim at, times 2 rad/s, at 10 Hz.
    The arm has inertia: it follows within about 0.1 s, and the links push each other.
    Observation: "arm" [4] cosine and sine of the shoulder's angle, then of the elbow's; "velocity" [2] of the joints
    (rad/s); "fingertip" and "goal" [2] (m); "image" [image_size, image_size, 3] uint8.
    Start: the arm at rest in a random posture, the target at least 0.1 m from the fingertip.
    ``reset(options={"state": [shoulder, elbow, goal x, y]})`` starts from that state (rad, m).

    Args:
        obs_type, image_size, render_mode, render_size, terminate_on_success, goal_obs, show_goal, variation,
            distractor: see `Simulation`. In the goal observation the arm rests with its fingertip at the target.
    """

    score_name, path_key = "progress", "fingertip"
    """What the score is called, and the observation whose travelled distance is an episode's path length."""

    def __init__(
        self,
        obs_type: str = "state",
        image_size: int = 96,
        render_mode: str | None = None,
        render_size: int = 384,
        terminate_on_success: bool = True,
        goal_obs: bool = False,
        show_goal: bool = True,
        variation: Variation = None,
        distractor: bool = False,
    ) -> None:
        self._goal = np.zeros(2)
        super().__init__(
            xml=_XML,
            parts={
                "arm": ([-1.0] * 4, [1.0] * 4),
                "velocity": ([-30.0] * 2, [30.0] * 2),
                "fingertip": ([-0.5] * 2, [0.5] * 2),
                "goal": ([-0.5] * 2, [0.5] * 2),
            },
            action_dim=2,
            num_substeps=10,
            obs_type=obs_type,
            image_size=image_size,
            render_mode=render_mode,
            render_size=render_size,
            terminate_on_success=terminate_on_success,
            goal_obs=goal_obs,
            show_goal=show_goal,
            factors=FACTORS,
            vary=vary_reach,
            variation=variation,
            distractor=distractor,
        )

    def _place(self, state: np.ndarray | None) -> None:
        if state is None:
            state = self._sample()
        if state.shape != (4,) or not np.isfinite(state).all():
            raise ValueError(f"options['state'] must be 4 numbers (shoulder, elbow, goal x, y), got {state!r}")
        self.data.qpos[:] = state[:2]
        self._goal = state[2:].copy()
        self.data.mocap_pos[0] = (*self._goal, 0.0)

    def _sample(self) -> np.ndarray:
        low, high = (-SHOULDER_RANGE, ELBOW_RANGE[0]), (SHOULDER_RANGE, ELBOW_RANGE[1])
        posture = self.np_random.uniform(low, high)
        while True:
            goal = fingertip(*self.np_random.uniform(low, high))
            if math.dist(goal, fingertip(*posture)) > 0.1:
                return np.array([*posture, *goal])

    def _solve(self) -> None:
        self.data.qpos[:] = posture(self._goal[None])[0]

    def _command(self, action: np.ndarray) -> None:
        self.data.ctrl[:] = MAX_SPEED * action

    def _parts(self) -> dict[str, Any]:
        shoulder, elbow = self.data.qpos
        return {
            "arm": (math.cos(shoulder), math.sin(shoulder), math.cos(elbow), math.sin(elbow)),
            "velocity": self.data.qvel,
            "fingertip": fingertip(shoulder, elbow),
            "goal": self._goal,
        }

    def _error(self) -> float:
        return math.dist(fingertip(*self.data.qpos), self._goal)

    def _solved(self) -> bool:
        return self._error() < TOLERANCE


def fingertip(shoulder: float, elbow: float) -> tuple[float, float]:
    """Where the fingertip is (m) at the joints' angles (rad)."""
    x = UPPER * math.cos(shoulder) + FORE * math.cos(shoulder + elbow)
    return x, UPPER * math.sin(shoulder) + FORE * math.sin(shoulder + elbow)


def posture(point: np.ndarray) -> np.ndarray:
    """The angles [B, 2] (rad) of shoulder and left-bent elbow that bring the fingertip to ``point`` [B, 2] (m)."""
    cos = ((point**2).sum(1) - UPPER**2 - FORE**2) / (2 * UPPER * FORE)
    elbow = np.arccos(np.clip(cos, np.cos(ELBOW_RANGE[1]), np.cos(ELBOW_RANGE[0])))
    inner = np.arctan2(FORE * np.sin(elbow), UPPER + FORE * np.cos(elbow))
    shoulder = np.arctan2(point[:, 1], point[:, 0]) - inner
    # The shoulder cannot turn past the rear (x < 0): angles below its range are meant a full turn higher.
    return np.stack([np.where(shoulder < -np.pi, shoulder + 2 * np.pi, shoulder), elbow], 1)
