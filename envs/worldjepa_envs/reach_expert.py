"""The scripted expert of Reach: inverse kinematics, then each joint at a speed proportional to its error."""

import numpy as np

from worldjepa_envs.reach import MAX_SPEED, posture

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
