"""Which OpenGL backend MuJoCo can draw with here, found by drawing in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

PROBE = """
import json, time
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><visual><quality offsamples="0" shadowsize="0"/></visual><worldbody><light pos="0 0 2"/>'
    '<camera name="c" pos="0 -1 0" xyaxes="1 0 0 0 0 1"/><geom size="0.2" rgba="0.8 0.2 0.2 1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 84, 84)
def frame():
    renderer.update_scene(data, "c")
    return renderer.render()
image = frame()
start = time.perf_counter()
for _ in range(20):
    frame()
seconds = (time.perf_counter() - start) / 20
from OpenGL import GL
name = GL.glGetString(GL.GL_RENDERER).decode()
print(json.dumps({"renderer": name, "ms": 1000 * seconds, "black": bool(image.std() == 0)}))
renderer.close()
"""

PACKAGES = {
    "egl": "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri",
    "osmesa": "libosmesa6",
    "glfw": "a display (DISPLAY is unset)",
}


@dataclass(frozen=True)
class Backend:
    """What drawing with one backend gave."""

    name: str
    """Value of MUJOCO_GL."""
    works: bool
    renderer: str
    """Name the driver gives itself; empty if the backend does not work."""
    ms: float
    """Milliseconds for a frame of 84 x 84 pixels."""
    error: str
    """Last line of the error; empty if it works."""


def probe(name: str, timeout_s: float = 60.0) -> Backend:
    """Draw a sphere with MUJOCO_GL set to ``name`` ("" leaves the choice to MuJoCo).

    Args:
        name: "egl", "osmesa", "glfw", "cgl" or "".
        timeout_s: how long to wait; a hanging driver counts as not working.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    if name:
        environment["MUJOCO_GL"] = name
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Backend(name, False, "", 0.0, f"no frame within {timeout_s:.0f} s")
    if done.returncode != 0:
        lines = [x for x in done.stderr.strip().splitlines() if x and not x.startswith(" ")]
        return Backend(name, False, "", 0.0, lines[-1] if lines else f"the process ended with status {done.returncode}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if result["black"]:
        return Backend(name, False, result["renderer"], result["ms"], "the frame is black")
    return Backend(name, True, result["renderer"], result["ms"], "")


def candidates() -> list[str]:
    """Backends worth trying here, best first; what the user has set comes before all."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if not sys.platform.startswith("linux"):
        return [chosen]
    display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    order = [chosen, "egl", "osmesa", *(["glfw"] if display else [])]
    return [x for x in dict.fromkeys(order) if x]


def choose() -> str:
    """Set MUJOCO_GL to what can draw here, before mujoco is imported; a choice of the user's is kept.

    Returns:
        The value: "disable" where nothing can draw (simulation still works), "" where MuJoCo's own default is right.
    """
    if "MUJOCO_GL" in os.environ or not sys.platform.startswith("linux"):
        return os.environ.get("MUJOCO_GL", "")
    for name in candidates():
        if probe(name).works:
            os.environ["MUJOCO_GL"] = name
            return name
    os.environ["MUJOCO_GL"] = "disable"
    return "disable"
