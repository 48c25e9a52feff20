"""What may vary in Push, and how the model is changed for it."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

from typing import Any

import numpy as np
from gymnasium import spaces

from worldjepa_envs.model_changes import make_boxes, move, paint, resize, shift_camera
from worldjepa_envs.variation import Factor, Factors, Value, colour, number, switch

FACTORS = Factors(
    {
        "agent_color": colour((235, 125, 66)),
        "block_color": colour((84, 115, 173)),
        "background_color": colour((219, 212, 199), pale=True),
        "agent_shape": Factor(spaces.Discrete(2), 0),  # 0 a cylinder, 1 a box along the table's sides
        "block_shape": Factor(spaces.Discrete(3), 0),  # 0 a T, 1 and 2 an L
        "block_size": number(0.8, 1.25, 1.0),
        "agent_size": number(0.75, 1.5, 1.0),
        "block_mass": number(0.25, 4.0, 1.0),
        "table_friction": number(0.5, 8.0, 1.0),
        "camera_shift": Factor(spaces.Box(-0.06, 0.06, (3,), np.float64), (0.0, 0.0, 0.0)),
        "distractor": switch(),
    }
)
"""Sizes, mass and friction are multiples of the usual ones; the camera moves by ``camera_shift`` (m).

The stem of an L is at the left (1) or the right end (2) of the flat back, as the finger sees it that pushes there; the
block turns about the same point as a T does, and moves as easily."""
_STEM_TO_EDGE = 0.086  # m along the back from the middle to where the stem's side ends with it; the goal's rim alike


def vary_push(model: Any, values: dict[str, Value]) -> None:
    """Change a pristine ``mujoco.MjModel`` of Push so that ``values`` hold; those at their default change nothing."""
    block, finger, goal = (model.body(name).id for name in ("block", "finger", "goal"))
    usual = FACTORS.defaults()
    for name, body in (("agent_color", finger), ("block_color", block)):
        if values[name] != usual[name]:
            paint(model, model.geom_bodyid == body, values[name])
    if values["background_color"] != usual["background_color"]:
        paint(model, np.arange(model.ngeom) == model.geom("table").id, values["background_color"])
    if values["block_shape"]:
        stems = np.isin(model.geom_bodyid, (block, goal)) & (model.geom_pos[:, 0] > 0.0)
        move(model, stems, (0.0, (_STEM_TO_EDGE, -_STEM_TO_EDGE)[values["block_shape"] - 1], 0.0))
    if values["block_size"] != 1.0:
        flat = (values["block_size"], values["block_size"], 1.0)
        for body in (block, goal):
            resize(model, model.geom_bodyid == body, flat)
    if values["agent_size"] != 1.0:
        resize(model, model.geom_bodyid == finger, (values["agent_size"], 1.0, 1.0))  # a cylinder: radius first
    if values["agent_shape"]:
        make_boxes(model, model.geom_bodyid == finger)
    if values["block_mass"] != 1.0:
        model.body_mass[block] *= values["block_mass"]
        model.body_inertia[block] *= values["block_mass"]
    if values["table_friction"] != 1.0:
        model.dof_damping[model.dof_bodyid == block] *= values["table_friction"]
    shift_camera(model, values["camera_shift"])
