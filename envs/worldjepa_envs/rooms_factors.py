"""What may vary in TwoRooms."""

import numpy as np
from gymnasium import spaces

from worldjepa_envs.rooms import DOOR, RADIUS, SPEED, WALL
from worldjepa_envs.variation import Factor, Factors, colour, number, switch

FACTORS = Factors(
    {
        "agent_color": colour((235, 105, 51)),
        "background_color": colour((219, 212, 199), pale=True),
        "wall_color": colour((64, 74, 89)),
        "agent_shape": Factor(spaces.Discrete(2), 0),  # 0 a disc, 1 a square
        "agent_radius": number(0.06, 0.14, RADIUS),
        "agent_speed": number(0.04, 0.12, SPEED),
        "door_width": number(0.2, 0.4, DOOR),
        "wall_width": number(0.04, 0.1, WALL),
        "camera_shift": Factor(spaces.Box(-0.1, 0.1, (2,), np.float64), (0.0, 0.0)),
        "distractor": switch(),
    }
)
"""Widths are halves, in half sides of the square; ``agent_speed`` is the way at action 1. The picture is of a place
shifted by ``camera_shift`` (x to the right, y up), less than the frame is wide: all of the square stays in it."""
