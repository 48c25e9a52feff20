"""The MuJoCo scene of Turntable: one compiled model whose geoms become any object, over a floor and under a lamp."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

import colorsys
from typing import Any

from worldjepa_envs import rendering  # isort: skip  (chooses the OpenGL backend before mujoco is imported)

import mujoco
import numpy as np
from numpy import ndarray

from worldjepa_envs.turntable_meshes import MeshFolder, add_meshes, to_unit_spheres
from worldjepa_envs.turntable_objects import MOST_PARTS
from worldjepa_envs.turntable_parts import Solid

XML = """
<mujoco model="turntable">
  <visual>
    <quality offsamples="0" shadowsize="0" numslices="16" numstacks="6" numquads="2"/>
    <headlight ambient=".34 .34 .34" diffuse=".2 .2 .2" specular="0 0 0"/>
    <map znear=".05"/>
  </visual>
  <worldbody>
    <light name="lamp" pos="-1.6 -2.2 5" dir=".3 .44 -1" cutoff="28" exponent="7" attenuation="1 0 0"
           ambient="0 0 0" castshadow="false"/>
    <camera name="camera" pos="0 -4.98 4.18" xyaxes="1 0 0 0 .643 .766" fovy="19.6"/>
    <geom name="floor" type="plane" size="2.2 2.7 .3" pos="0 2.1 -1.35"/>
    <body name="object" mocap="true"/>
  </worldbody>
</mujoco>
"""
"""The object has radius 1 around the origin; the floor is what the camera sees of it, and a little more."""
_KINDS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}


class Stage:
    """Draws an object in a pose, in the light asked for.

    An object takes as many of the model's generic geoms as it has parts; kinds, sizes, places and colours are
    overwritten, and the geoms left over are transparent, which MuJoCo does not draw. Nothing is compiled again.

    Args:
        meshes: to draw instead.
    """

    def __init__(self, meshes: MeshFolder | None = None) -> None:
        spec = mujoco.MjSpec.from_string(XML)
        body = spec.body("object")
        if meshes is None:
            for _ in range(MOST_PARTS):
                body.add_geom(type=_KINDS["box"], size=[0.1, 0.1, 0.1], contype=0, conaffinity=0)
        else:
            add_meshes(spec, body, meshes)
        self.model: Any = spec.compile()
        if meshes is not None:
            to_unit_spheres(self.model)
        self.data = mujoco.MjData(self.model)
        self._geoms = np.flatnonzero(self.model.geom_bodyid == self.model.body("object").id)
        self.model.geom_sameframe[self._geoms] = 0  # else the places that `put` gives them are not looked at
        self._floor, self._lamp = self.model.geom("floor").id, self.model.light("lamp").id
        self._cameras: dict[int, rendering.Camera] = {}
        mujoco.mj_forward(self.model, self.data)

    def put(self, solid: Solid) -> None:
        """Make the object of the parts of ``solid``."""
        used, model = self._geoms[: len(solid.kind)], self.model
        model.geom_rgba[self._geoms, 3] = 0.0
        model.geom_type[used] = [int(_KINDS[kind]) for kind in solid.kind]
        model.geom_size[used], model.geom_pos[used] = solid.size, solid.centre
        model.geom_quat[used] = np.roll(solid.turn, 1, axis=1)
        model.geom_rgba[used, :3], model.geom_rgba[used, 3] = solid.colour, 1.0
        model.geom_rbound[used] = 2.0 * np.abs(solid.size).max(1)

    def put_mesh(self, index: int, colour: ndarray) -> None:
        """Make the object mesh ``index`` of the folder, in one ``colour`` [3]."""
        (geom,) = self._geoms
        self.model.geom_dataid[geom], self.model.geom_rgba[geom, :3] = index, colour
        self.model.geom_pos[geom], self.model.geom_quat[geom] = 0.0, (1.0, 0.0, 0.0, 0.0)
        self.model.geom_rbound[geom] = 1.0

    def pose(self, rotation: ndarray, floor_hue: float, light_hue: float) -> None:
        """Turn the object and colour floor and lamp.

        Args:
            rotation: [4] quaternion x, y, z, w, object to world.
            floor_hue, light_hue: in [0, 1], round the colour circle.
        """
        self.data.mocap_quat[0] = rotation[[3, 0, 1, 2]]
        self.model.geom_rgba[self._floor, :3] = colorsys.hsv_to_rgb(floor_hue, 0.5, 0.75)
        light = colorsys.hsv_to_rgb(light_hue, 0.45, 0.85)
        self.model.light_diffuse[self._lamp], self.model.light_specular[self._lamp] = light, 0.4 * np.array(light)
        mujoco.mj_kinematics(self.model, self.data)

    def picture(self, size: int) -> ndarray:
        """The image [size, size, 3] uint8, a new array."""
        if size not in self._cameras:
            self._cameras[size] = rendering.Camera(self.model, size, size, "camera")
        return self._cameras[size].frame(self.data)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()
