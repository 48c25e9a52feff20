"""What every test starts from: one torch thread, fixed seeds, checked annotations, the place of real recordings."""

import contextlib
import ctypes
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# MuJoCo reads MUJOCO_GL when it is imported. Without a GL library it can still simulate, but not draw.
CAN_DRAW = sys.platform != "linux"
with contextlib.suppress(OSError):
    CAN_DRAW = CAN_DRAW or bool(ctypes.CDLL("libEGL.so.1"))
os.environ.setdefault("MUJOCO_GL", ("egl" if CAN_DRAW else "disable") if sys.platform == "linux" else "")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("MPLBACKEND", "agg")

# Annotations of the three packages, tensor shapes included, are checked at run time in tests and only there.
install_import_hook(["worldjepa", "worldjepa_envs", "worldjepa_policies"], "shape_checker.check")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CAN_DRAW and os.environ["MUJOCO_GL"] != "disable":
        return
    skip = pytest.mark.skip(reason="no GL library here: install libegl1, libegl-mesa0 and libgl1-mesa-dri")
    for item in items:
        if "draws" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - foreign simulators draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings, or a skip that says how to name it."""
    folder = os.environ.get("WORLDJEPA_DATA")
    if not folder:
        pytest.skip("WORLDJEPA_DATA is not set: the folder of real recordings")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"WORLDJEPA_DATA names {path}, which is not a folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]
