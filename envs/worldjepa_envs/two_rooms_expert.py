"""The scripted expert of TwoRooms: in front of the door, through it, then to the goal; without memory."""

import numpy as np

from worldjepa_envs.rooms import DOOR, RADIUS, SPEED, WALL

_FRONT = WALL + RADIUS + 0.04  # the point before the door from which it goes straight through
_IN_LINE = 0.6 * (DOOR - RADIUS)  # from the door's middle line: near enough to go through


def rooms_action(obs: dict[str, np.ndarray]) -> np.ndarray:
    """Head at full speed for the goal, in another room for the door first.

    Args:
        obs: "agent", "goal" and "layout" [B, 2], as observed.

    Returns:
        Actions [B, 2] in [-1, 1].
    """
    agent, goal, layout = obs["agent"], obs["goal"], obs["layout"]
    wall, door = layout[:, 0], layout[:, 1]
    side = np.where(agent[:, 0] < wall, -1.0, 1.0)
    apart = side != np.where(goal[:, 0] < wall, -1.0, 1.0)
    in_line = np.abs(agent[:, 1] - door) < _IN_LINE
    in_doorway = np.abs(agent[:, 0] - wall) < WALL + RADIUS
    before, behind = wall + side * _FRONT, wall - side * _FRONT
    through = np.stack([np.where(in_line, behind, before), door], 1)
    out = np.stack([wall + side * _FRONT, np.clip(goal[:, 1], door - _IN_LINE, door + _IN_LINE)], 1)
    target = np.where(apart[:, None], through, np.where(in_doorway[:, None], out, goal))
    step = (target - agent) / SPEED
    return step / np.maximum(np.abs(step).max(1, keepdims=True), 1.0)
