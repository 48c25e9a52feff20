"""Offscreen images from MuJoCo, with errors that say what to install or set.

Import this module before ``mujoco``: it chooses EGL where there is no display and the user has not chosen.
"""

import atexit
import ctypes
import functools
import os
import sys
import weakref

import numpy as np

_HELP = (
    "MuJoCo could not make an offscreen OpenGL context (MUJOCO_GL={backend!r}). Without a display set MUJOCO_GL=egl "
    "before Python starts and install the EGL libraries (Debian/Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1 "
    "libgl1-mesa-dri); or set MUJOCO_GL=osmesa and install libosmesa6; with a display MUJOCO_GL=glfw works. "
    'obs_type="state" needs no rendering.'
)


def choose_backend() -> None:
    """Set MUJOCO_GL=egl on Linux without a display, unless the user has chosen or mujoco is imported already.

    Where there is no EGL library the choice is left to mujoco, which cannot even be imported with MUJOCO_GL=egl then.
    """
    headless = sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if headless and "mujoco" not in sys.modules and _has_egl():
        os.environ.setdefault("MUJOCO_GL", "egl")


def _has_egl() -> bool:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


choose_backend()


def rendering_error() -> RuntimeError:
    """The error to raise (``from`` the cause) when a GL context cannot be made."""
    return RuntimeError(_HELP.format(backend=os.environ.get("MUJOCO_GL", "")))


def check_frame(frame: np.ndarray, source: str = "the environment") -> np.ndarray:
    """Return ``frame`` unless all its pixels are equal, which means that its OpenGL context is lost.

    Args:
        frame: image, uint8, any shape.
        source: who rendered it, for the message.

    Raises:
        RuntimeError: the frame is of one colour.
    """
    if frame.size == 0 or frame.min() == frame.max():
        raise RuntimeError(
            f"{source} rendered a frame of one colour (standard deviation 0): its OpenGL context is lost. This happens "
            "when the viewer of an older environment is freed after a newer one was made: close() environments and "
            "drop every reference to them before making new ones, or render each in a process of its own."
        )
    return frame


class Camera:
    """Renders one camera of a model at one size, without shadows, reflections, sky, haze or multisampling.

    Edges are smoothed by rendering at twice the size, which is cheaper on a CPU than multisampling.

    Args:
        model: ``mujoco.MjModel``; its multisampling and shadow map are switched off.
        height, width: pixels.
        camera: name of a camera of the model, or the attributes of a free ``mujoco.MjvCamera`` (azimuth, lookat, ...).

    Raises:
        RuntimeError: no OpenGL context; says what to install or set.
    """

    def __init__(self, model, height: int, width: int, camera: str | dict) -> None:
        import mujoco

        quality, buffer = model.vis.quality, model.vis.global_
        quality.offsamples = quality.shadowsize = 0
        buffer.offheight, buffer.offwidth = 2 * height, 2 * width
        try:
            self._renderer = mujoco.Renderer(model, 2 * height, 2 * width)
        except Exception as error:  # each GL backend raises its own kind
            raise rendering_error() from error
        _close_at_exit()
        _open.add(self)
        self._camera = camera if isinstance(camera, str) else _free_camera(camera)
        disable_effects(self._renderer.scene)

    def frame(self, data) -> np.ndarray:
        """The image of ``data`` (``mujoco.MjData``): [height, width, 3] uint8, a new array."""
        self._renderer.update_scene(data, self._camera)
        fine = check_frame(self._renderer.render(), "the camera").astype(np.uint16)
        rows = fine[::2] + fine[1::2]
        return ((rows[:, ::2] + rows[:, 1::2] + 2) // 4).astype(np.uint8)

    def close(self) -> None:
        """Free the OpenGL context."""
        _open.discard(self)
        self._renderer.close()


def _free_camera(attributes: dict):
    import mujoco

    camera = mujoco.MjvCamera()  # pyright: ignore[reportAttributeAccessIssue]  (mujoco's C module has no stubs)
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            getattr(camera, name)[:] = value
        else:
            setattr(camera, name, value)
    return camera


_open: weakref.WeakSet[Camera] = weakref.WeakSet()


@functools.cache
def _close_at_exit() -> None:
    """Free what was not closed while OpenGL is still there, else each context complains at exit.

    Called once the first context exists: exit handlers run in reverse order, and mujoco's own ends EGL.
    """
    atexit.register(lambda: [camera.close() for camera in list(_open)])


def disable_effects(scene) -> None:
    """Switch off what costs most on a CPU in a ``mujoco.MjvScene``: shadows, reflections, sky and haze."""
    import mujoco

    effects = mujoco.mjtRndFlag  # pyright: ignore[reportAttributeAccessIssue]  (mujoco's C module has no stubs)
    for flag in (effects.mjRND_SHADOW, effects.mjRND_REFLECTION, effects.mjRND_SKYBOX, effects.mjRND_HAZE):
        scene.flags[int(flag)] = 0
