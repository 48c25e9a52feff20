"""The scripted expert of Push: a feedback law of the observation, without memory."""

import numpy as np

from worldjepa_envs.push import BACK, FINGER_RADIUS, HALF_WIDTH, MAX_SPEED

_PUSH_SPEED = 0.14  # m/s
_LOOKAHEAD = 0.12  # m: the block heads for the point of the goal's axis this far ahead of it
_STEERING = 20.0  # curvature (1/m) per rad of heading error
_TURNING = 0.0125  # m^2: the block turns by offset / this, per metre pushed (ratio of its joints' dampings)
_MAX_OFFSET = 0.085  # m from the middle of the flat back
_STANDOFF = 0.03  # m between finger and back while the finger finds its place
_ALIGNED = 0.03  # m of misplacement at which pushing gives way to finding the place


def push_action(obs: dict[str, np.ndarray]) -> np.ndarray:
    """Push the flat back of the block so that it runs onto the goal's axis and along it.

    A frictionless finger at offset s on the back drives the block forward and turns it by -s per metre, so the block
    steers like a car; the offset follows from the pure-pursuit heading. Continuous in the observation.

    Args:
        obs: "pusher" [B, 2], "block" [B, 4], "goal" [B, 4], as observed.

    Returns:
        Actions [B, 2] in [-1, 1].
    """
    forward, goal_axis = obs["block"][:, 2:], obs["goal"][:, 2:]
    ahead, beside = _in_frame(obs["goal"][:, :2] - obs["block"][:, :2], goal_axis)
    cos, sin = _in_frame(forward, goal_axis)
    heading_error = np.arctan2(beside, _LOOKAHEAD) - np.arctan2(sin, cos)
    offset = -_MAX_OFFSET * np.tanh(_TURNING * _STEERING * heading_error / _MAX_OFFSET)

    x, y = _in_frame(obs["pusher"] - obs["block"][:, :2], forward)
    gap = -(BACK + FINGER_RADIUS) - x
    misplaced = y - offset
    aligned = np.exp(-((misplaced / _ALIGNED) ** 2))
    within = np.clip((HALF_WIDTH + 0.5 * FINGER_RADIUS - np.abs(y)) / 0.02, 0.0, 1.0)
    free = np.maximum(within, np.clip(gap / 0.02, 0.0, 1.0))
    push = _PUSH_SPEED * np.clip((ahead + 0.005) / 0.06, 0.0, 1.0)
    speed_x = aligned * push + (1.0 - aligned) * np.clip(4.0 * (gap - _STANDOFF), -MAX_SPEED, MAX_SPEED)
    speed_y = np.clip(-5.0 * free * misplaced, -MAX_SPEED, MAX_SPEED)
    velocity = speed_x[:, None] * forward + speed_y[:, None] * np.stack([-forward[:, 1], forward[:, 0]], 1)
    largest = np.maximum(np.abs(velocity).max(1, keepdims=True), MAX_SPEED)
    return velocity / largest


def _in_frame(vector: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components [B] of ``vector`` [B, 2] along the unit vector ``axis`` [B, 2] and to its left."""
    return (vector * axis).sum(1), axis[:, 0] * vector[:, 1] - axis[:, 1] * vector[:, 0]
