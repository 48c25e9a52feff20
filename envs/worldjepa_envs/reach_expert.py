"""The scripted expert of Reach: inverse kinematics, then each joint at a speed proportional to its error."""

import numpy as np

from worldjepa_envs.reach import ELBOW_RANGE, FORE, MAX_SPEED, UPPER

_GAIN = 3.0  # rad/s per rad


def reach_action(obs: dict[str, np.ndarray]) -> np.ndarray:
    """Speeds that bring the joints to the posture whose fingertip is at the goal. Continuous in the observation.

    Args:
        obs: "arm" [B, 4], "goal" [B, 2], as observed.

    Returns:
        Actions [B, 2] in [-1, 1].
    """
    arm = obs["arm"]
    angles = np.arctan2(arm[:, 1::2], arm[:, ::2])
    return np.clip(_GAIN / MAX_SPEED * (posture(obs["goal"]) - angles), -1.0, 1.0)


def posture(point: np.ndarray) -> np.ndarray:
    """The angles [B, 2] (rad) of shoulder and left-bent elbow that bring the fingertip to ``point`` [B, 2] (m)."""
    cos = ((point**2).sum(1) - UPPER**2 - FORE**2) / (2 * UPPER * FORE)
    elbow = np.arccos(np.clip(cos, np.cos(ELBOW_RANGE[1]), np.cos(ELBOW_RANGE[0])))
    inner = np.arctan2(FORE * np.sin(elbow), UPPER + FORE * np.cos(elbow))
    shoulder = np.arctan2(point[:, 1], point[:, 0]) - inner
    # The shoulder cannot turn past the rear (x < 0): angles below its range are meant a full turn higher.
    return np.stack([np.where(shoulder < -np.pi, shoulder + 2 * np.pi, shoulder), elbow], 1)
