"""Changing a MuJoCo model between episodes, and back."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

from typing import Any

from worldjepa_envs import rendering  # noqa: F401  # isort: skip  (chooses the OpenGL backend before mujoco is imported)

import mujoco
import numpy as np

_GEOMS = ("geom_type", "geom_rgba", "geom_size", "geom_pos", "geom_rbound", "geom_aabb")
_BODIES = ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0")
_JOINTS = ("dof_damping", "dof_invweight0", "dof_M0", "actuator_acc0")
_CAMERAS = ("cam_pos", "cam_pos0", "cam_poscom0")


class Pristine:
    """A model's numbers as they are now, to go back to."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._flags = model.opt.disableflags
        self._arrays = {name: getattr(model, name).copy() for name in (*_GEOMS, *_BODIES, *_JOINTS, *_CAMERAS)}

    def restore(self) -> None:
        """Undo all changes that this module makes."""
        self._model.opt.disableflags = self._flags
        for name, array in self._arrays.items():
            getattr(self._model, name)[:] = array


def settle(model: Any) -> None:
    """Recompute what follows from masses and sizes."""
    mujoco.mj_setConst(model, mujoco.MjData(model))


def paint(model: Any, geoms: np.ndarray, colour: Any) -> None:
    """Give ``geoms`` [G] bool a ``colour`` (red, green, blue; 0 to 255)."""
    model.geom_rgba[geoms, :3] = np.asarray(colour) / 255.0


def resize(model: Any, geoms: np.ndarray, factors: tuple[float, float, float]) -> None:
    """Multiply the sizes of ``geoms`` [G] bool and their distances from the body's origin (boxes), axis by axis."""
    scale = np.asarray(factors)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)  # its boxes are those of the old sizes
    for geom in np.flatnonzero(geoms).tolist():
        model.geom_size[geom] *= scale
        size = model.geom_size[geom]
        kind = int(model.geom_type[geom])
        if kind == int(mujoco.mjtGeom.mjGEOM_BOX):
            model.geom_pos[geom] *= scale
            half, reach = size.copy(), np.linalg.norm(size)
        else:  # radius and half length
            capsule = kind == int(mujoco.mjtGeom.mjGEOM_CAPSULE)
            length = size[1] + (size[0] if capsule else 0.0)
            half, reach = np.array([size[0], size[0], length]), length if capsule else np.hypot(size[0], size[1])
        model.geom_rbound[geom] = reach
        model.geom_aabb[geom, 3:] = half


def make_boxes(model: Any, geoms: np.ndarray) -> None:
    """Turn ``geoms`` [G] bool, cylinders and capsules, into boxes as wide and long, without the round ends."""
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)  # its boxes are those of the old sizes
    for geom in np.flatnonzero(geoms).tolist():
        radius, length = model.geom_size[geom, :2]
        size = np.array([radius, radius, length])
        model.geom_type[geom] = int(mujoco.mjtGeom.mjGEOM_BOX)
        model.geom_size[geom], model.geom_aabb[geom, 3:] = size, size
        model.geom_rbound[geom] = np.linalg.norm(size)


def move(model: Any, geoms: np.ndarray, offset: Any) -> None:
    """Move ``geoms`` [G] bool in their body by ``offset`` [3] (m)."""
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)  # its boxes are those of the old places
    model.geom_pos[geoms] += np.asarray(offset)


def shift_camera(model: Any, shift: Any) -> None:
    """Move the camera "camera" by ``shift`` [3] (m)."""
    model.camera("camera").pos[:] += np.asarray(shift)
