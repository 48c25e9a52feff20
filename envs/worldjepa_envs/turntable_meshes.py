"""Meshes for Turntable from a folder with one sub-folder a class."""

# The C module of mujoco has no stubs:
# pyright: reportAttributeAccessIssue=false

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from worldjepa_envs.turntable_rotation import rotate

KINDS = (".obj", ".stl")


@dataclass(frozen=True)
class MeshFolder:
    """Mesh files by class, both in the order of their names. Made by `find_meshes`."""

    files: dict[str, tuple[Path, ...]]

    def index(self, name: str, number: int) -> int:
        """Place of the ``number``-th mesh of class ``name`` among all meshes."""
        before = 0
        for other, files in self.files.items():
            if other == name:
                return before + number
            before += len(files)
        raise KeyError(name)


def find_meshes(folder: str | Path) -> MeshFolder:
    """The .obj and .stl files in the sub-folders of ``folder``.

    Raises:
        ValueError: there is no folder, or no sub-folder with such a file.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"meshes must be a folder with a sub-folder of .obj or .stl files for each class, not {root}")
    files = {
        child.name: tuple(sorted(path for path in child.rglob("*") if path.suffix.lower() in KINDS))
        for child in sorted(root.iterdir())
        if child.is_dir()
    }
    found = {name: paths for name, paths in files.items() if paths}
    if not found:
        raise ValueError(f"{root} has no sub-folder with .obj or .stl files; put each class into one of its own")
    return MeshFolder(found)


def add_meshes(spec: Any, body: Any, meshes: MeshFolder) -> None:
    """Add every mesh to a ``mujoco.MjSpec``, and one geom to ``body`` that can become any of them."""
    import mujoco

    index = 0
    for paths in meshes.files.values():
        for path in paths:
            mesh = spec.add_mesh(name=f"mesh{index}", file=str(path.resolve()))
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # surfaces need not be closed
            index += 1
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="mesh0", contype=0, conaffinity=0)


def to_unit_spheres(model: Any) -> None:
    """Put the vertices back into the axes of their files (MuJoCo turns them), centred, within radius 1."""
    for mesh in range(model.nmesh):
        vertices = _rows(model.mesh_vertadr, model.mesh_vertnum, mesh)
        normals = _rows(model.mesh_normaladr, model.mesh_normalnum, mesh)
        turn = np.roll(model.mesh_quat[mesh], -1)
        points = rotate(turn, model.mesh_vert[vertices].astype(np.float64))
        points -= (points.min(0) + points.max(0)) / 2
        model.mesh_vert[vertices] = points / np.linalg.norm(points, axis=1).max()
        model.mesh_normal[normals] = rotate(turn, model.mesh_normal[normals].astype(np.float64))


def _rows(starts: ndarray, counts: ndarray, mesh: int) -> slice:
    return slice(int(starts[mesh]), int(starts[mesh] + counts[mesh]))
