"""What may vary in Reach, and how the model is changed for it."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

from typing import Any

import numpy as np
from gymnasium import spaces

from worldjepa_envs.model_changes import make_boxes, paint, resize, shift_camera
from worldjepa_envs.variation import Factor, Factors, Value, colour, number, switch

FACTORS = Factors(
    {
        "agent_color": colour((235, 125, 66)),
        "arm_color": colour((84, 115, 173)),
        "background_color": colour((219, 212, 199), pale=True),
        "agent_shape": Factor(spaces.Discrete(2), 0),  # 0 a cylinder, 1 a box
        "arm_shape": Factor(spaces.Discrete(2), 0),  # 0 capsules, 1 boxes from joint to joint
        "arm_width": number(0.7, 1.6, 1.0),
        "arm_mass": number(0.5, 3.0, 1.0),
        "joint_friction": number(0.0, 10.0, 1.0),
        "camera_shift": Factor(spaces.Box(-0.06, 0.06, (3,), np.float64), (0.0, 0.0, 0.0)),
        "distractor": switch(),
    }
)
"""Width, mass and (viscous) friction are multiples of the usual ones; ``agent_color`` and ``agent_shape`` are the
fingertip's; the camera moves by ``camera_shift`` (m)."""


def vary_reach(model: Any, values: dict[str, Value]) -> None:
    """Change a pristine ``mujoco.MjModel`` of Reach so that ``values`` hold; those at their default change nothing."""
    arm = [model.body(name).id for name in ("upper", "fore")]
    tip = np.arange(model.ngeom) == model.geom("tip").id
    links = np.isin(model.geom_bodyid, arm) & ~tip
    usual = FACTORS.defaults()
    parts = {
        "agent_color": tip,
        "arm_color": links,
        "background_color": np.arange(model.ngeom) == model.geom("table").id,
    }
    for name, geoms in parts.items():
        if values[name] != usual[name]:
            paint(model, geoms, values[name])
    if values["arm_width"] != 1.0:
        resize(model, links | tip, (values["arm_width"], 1.0, 1.0))  # capsules and a cylinder: radius first
    for name, geoms in (("agent_shape", tip), ("arm_shape", links)):
        if values[name]:
            make_boxes(model, geoms)
    if values["arm_mass"] != 1.0:
        model.body_mass[arm] *= values["arm_mass"]
        model.body_inertia[arm] *= values["arm_mass"]
    if values["joint_friction"] != 1.0:
        model.dof_damping[:] *= values["joint_friction"]
    shift_camera(model, values["camera_shift"])
