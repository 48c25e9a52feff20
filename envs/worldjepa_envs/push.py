"""Push: a finger pushes a T-shaped block over a table into a goal pose."""

import math
from typing import Any

import numpy as np

from worldjepa_envs.push_factors import FACTORS, vary_push
from worldjepa_envs.simulation import Simulation
from worldjepa_envs.variation import Variation

GOAL = (0.24, 0.0, 0.0)
"""Middle of the goal poses: x, y (m) and angle (rad)."""
MAX_SPEED = 0.2
"""Speed of the finger in m/s at action 1, each axis."""
REACH = 0.48
"""The finger's centre stays within +-REACH m of the table's centre."""
FINGER_RADIUS = 0.02
BACK = 0.04
"""Distance in m of the block's centre from its flat back, which the finger pushes on."""
HALF_WIDTH = 0.11
"""Half of the length in m of the flat back."""
POSITION_TOLERANCE = 0.025
ANGLE_TOLERANCE = 0.2
ANGLE_ARM = 0.1
"""Metres that a radian of angle counts in the pose error."""

# The block's frame: x along the stem of the T, away from its flat back. The joints' damping stands for the friction
# with the table: velocity = force / 4, angular velocity = torque / 0.05, so it stops when the finger does.
_BLOCK = """
      <geom {look} size=".024 .11 {half}" pos="-.016 0 {z}"/>
      <geom {look} size=".051 .024 {half}" pos=".059 0 {z}"/>"""
_XML = f"""
<mujoco model="push">
  <option timestep="0.01" integrator="implicitfast" iterations="10">
    <flag gravity="disable"/>
  </option>
  <visual>
    <quality offsamples="0" shadowsize="0" numslices="16" numstacks="8"/>
    <headlight ambient=".5 .5 .5" diffuse=".15 .15 .15" specular="0 0 0"/>
    <map znear=".01"/>
  </visual>
  <default>
    <geom type="box" condim="1" solref=".02 1" solimp=".95 .99 .001"/>
    <default class="drawn"><geom contype="0" conaffinity="0"/></default>
  </default>
  <worldbody>
    <light pos="-.4 -.4 1.4" dir=".3 .3 -1" directional="true" diffuse=".35 .35 .35" specular="0 0 0"
           castshadow="false"/>
    <camera name="camera" pos="0 -.2 1.3" xyaxes="1 0 0 0 .988 .152" fovy="43"/>
    <geom name="table" class="drawn" size=".51 .51 .01" pos="0 0 -.01" rgba=".86 .83 .78 1"/>
    <geom class="drawn" size="2 2 .01" pos="0 0 -.03" rgba=".25 .29 .35 1"/>
    <body name="goal" mocap="true">
      <geom class="drawn" size=".030 .116 .0005" pos="-.016 0 .0005" rgba=".10 .42 .32 1"/>
      <geom class="drawn" size=".054 .030 .0005" pos=".062 0 .0005" rgba=".10 .42 .32 1"/>
      {_BLOCK.format(look='class="drawn" rgba=".50 .74 .60 1"', half=".0005", z=".0014")}
    </body>
    <body name="block" pos="0 0 .02">
      <inertial pos="0 0 0" mass=".1" diaginertia=".001 .001 .001"/>
      <joint name="block_x" type="slide" axis="1 0 0" damping="4" limited="true" range="-.6 .6"/>
      <joint name="block_y" type="slide" axis="0 1 0" damping="4" limited="true" range="-.6 .6"/>
      <joint name="block_angle" type="hinge" axis="0 0 1" damping=".05"/>
      {_BLOCK.format(look='rgba=".33 .45 .68 1"', half=".02", z="0")}
    </body>
    <body name="finger" pos="0 0 .03">
      <inertial pos="0 0 0" mass=".2" diaginertia=".001 .001 .001"/>
      <joint name="finger_x" type="slide" axis="1 0 0" limited="true" range="-{REACH} {REACH}"/>
      <joint name="finger_y" type="slide" axis="0 1 0" limited="true" range="-{REACH} {REACH}"/>
      <geom type="cylinder" size="{FINGER_RADIUS} .03" rgba=".92 .49 .26 1"/>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="finger_x" kv="60" forcerange="-40 40" ctrlrange="-1 1"/>
    <velocity joint="finger_y" kv="60" forcerange="-40 40" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


def wrap(angle):
    """An angle (or array of angles) in rad, in [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


class PushEnv(Simulation):
    """Push the block until it lies within 2.5 cm and 0.2 rad of the goal pose.

    Action [2] in [-1, 1]: velocity of the finger, times 0.2 m/s, at 10 Hz.
    Observation: "pusher" [2] position (m); "block" and "goal" [4] position (m), cosine and sine of the angle;
    "image" [image_size, image_size, 3] uint8.
    Start: the block lies 0.34 to 0.5 m before the goal, up to 0.12 m beside its axis and turned by up to 0.6 rad; the
    finger is 0.16 to 0.24 m from the block, behind or beside it. worldjepa/PushNear-v0 starts nearer and does not
    mark the goal in the image: made for goal observations.
    ``reset(options={"state": [pusher x, y, block x, y, angle]})`` starts from that state.

    Args:
        random_goal: turn the goal (and the start with it) by up to 0.4 rad and shift it by up to 0.05 m in each
            episode; else it is `GOAL`.
        start_distance: nearest and farthest that the block lies before the goal (m).
        start_beside: farthest that it lies beside the goal's axis (m).
        start_turn: most that it is turned against the goal (rad).
        finger_turn: most that the finger is off the block's rear (rad).
        workspace: the finger's centre stays within +-workspace m of ``centre`` on each axis, and the camera shows that.
        centre: x, y (m) of its middle.
        obs_type, image_size, render_mode, render_size, terminate_on_success, goal_obs, show_goal, variation,
            distractor: see `Simulation`. In the goal observation the block lies at the goal and the finger at its back.
    """

    score_name, path_key = "progress", "pusher"
    """What the score is called, and the observation whose travelled distance is an episode's path length."""

    def __init__(
        self,
        obs_type: str = "state",
        image_size: int = 96,
        render_mode: str | None = None,
        render_size: int = 384,
        random_goal: bool = True,
        terminate_on_success: bool = True,
        goal_obs: bool = False,
        show_goal: bool = True,
        variation: Variation = None,
        distractor: bool = False,
        start_distance: tuple[float, float] = (0.34, 0.5),
        start_beside: float = 0.12,
        start_turn: float = 0.6,
        finger_turn: float = 1.75,
        workspace: float = REACH,
        centre: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        if not POSITION_TOLERANCE < start_distance[0] <= start_distance[1] <= 0.5:
            raise ValueError(
                f"start_distance must be (nearest, farthest) in ({POSITION_TOLERANCE}, 0.5] m, got {start_distance}"
            )
        most = {
            "start_beside": (start_beside, 0.12),
            "start_turn": (start_turn, 3.2),
            "finger_turn": (finger_turn, 3.2),
        }
        for name, (value, largest) in most.items():
            if not 0.0 <= value <= largest:
                raise ValueError(f"{name} must be in [0, {largest}], not {value}")
        self._start = np.array([start_distance[0], -start_beside, -start_turn])
        self._start_end = np.array([start_distance[1], start_beside, start_turn])
        self._finger_turn = finger_turn
        if not 0.2 <= workspace <= REACH or np.abs(centre).max() + workspace > REACH:
            raise ValueError(f"workspace {workspace} around {centre} must be in [0.2, {REACH}] and within +-{REACH} m")
        self._workspace, self._centre = workspace, np.array(centre)
        pose = ([-0.65, -0.65, -1.0, -1.0], [0.65, 0.65, 1.0, 1.0])
        parts = {"pusher": ([-0.55] * 2, [0.55] * 2), "block": pose, "goal": pose}
        self._random_goal = random_goal
        self._goal = np.array(GOAL)
        super().__init__(
            xml=_XML,
            parts=parts,
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
            vary=vary_push,
            variation=variation,
            distractor=distractor,
        )
        for joint, middle in zip(("finger_x", "finger_y"), centre):
            self.model.joint(joint).range = middle - workspace, middle + workspace
        camera = self.model.camera("camera").pos
        camera[:] = camera * (workspace / REACH) + (*centre, 0.0)

    def _place(self, state: np.ndarray | None) -> None:
        self._goal = np.array(GOAL)
        if self._random_goal:
            self._goal += self.np_random.uniform([-0.05, -0.05, -0.4], [0.05, 0.05, 0.4])
        if state is None:
            state = self._sample()
        if state.shape != (5,) or not np.isfinite(state).all():
            raise ValueError(f"options['state'] must be 5 numbers (pusher x, y, block x, y, angle), got {state!r}")
        qpos = self.data.qpos
        qpos[:3], qpos[3:5] = state[2:], state[:2]
        self.data.mocap_pos[0] = (self._goal[0], self._goal[1], 0.0)
        half = self._goal[2] / 2
        self.data.mocap_quat[0] = (math.cos(half), 0.0, 0.0, math.sin(half))

    def _sample(self) -> np.ndarray:
        behind, beside, turned = self.np_random.uniform(self._start, self._start_end)
        x, y, goal_angle = self._goal
        cos, sin = math.cos(goal_angle), math.sin(goal_angle)
        block = np.array([x - behind * cos - beside * sin, y - behind * sin + beside * cos, wrap(goal_angle + turned)])
        while True:
            distance, direction = self.np_random.uniform([0.16, -self._finger_turn], [0.24, self._finger_turn])
            bearing = block[2] + math.pi + direction
            pusher = block[:2] + distance * np.array([math.cos(bearing), math.sin(bearing)])
            if np.abs(pusher - self._centre).max() < self._workspace - FINGER_RADIUS:
                return np.concatenate([pusher, block])

    def _solve(self) -> None:
        x, y, angle = self._goal
        finger = FINGER_RADIUS * self.variation["agent_size"]
        if self.variation["agent_shape"]:  # a box along the table's sides: how far it reaches towards the block's back
            finger *= abs(math.cos(angle)) + abs(math.sin(angle))
        back = BACK * self.variation["block_size"] + finger
        self.data.qpos[:] = x, y, angle, x - back * math.cos(angle), y - back * math.sin(angle)

    def _command(self, action: np.ndarray) -> None:
        self.data.ctrl[:] = MAX_SPEED * action

    def _parts(self) -> dict[str, Any]:
        x, y, angle, *pusher = self.data.qpos
        goal_x, goal_y, goal_angle = self._goal
        return {
            "pusher": pusher,
            "block": (x, y, math.cos(angle), math.sin(angle)),
            "goal": (goal_x, goal_y, math.cos(goal_angle), math.sin(goal_angle)),
        }

    def _offsets(self) -> tuple[float, float]:
        """Distance (m) and absolute angle (rad) of the block from the goal."""
        x, y, angle = self.data.qpos[:3]
        return math.hypot(x - self._goal[0], y - self._goal[1]), abs(wrap(angle - self._goal[2]))

    def _error(self) -> float:
        distance, turn = self._offsets()
        return distance + ANGLE_ARM * turn

    def _solved(self) -> bool:
        distance, turn = self._offsets()
        return bool(distance < POSITION_TOLERANCE and turn < ANGLE_TOLERANCE)
