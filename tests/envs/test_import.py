"""Importing the package registers environments and loads no simulator."""

import subprocess
import sys

import pytest


def test_import_loads_no_simulator(repository):
    heavy = (
        "mujoco",
        "torch",
        "tensordict",
        "pymunk",
        "gym_pusht",
        "metaworld",
        "gymnasium_robotics",
        "robosuite",
        "cv2",
    )
    code = (
        "import sys; import worldjepa_envs, gymnasium; "
        "assert 'worldjepa/Push-v0' in gymnasium.registry; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository / "envs", check=True
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.draws
def test_unclosed_renderer_leaves_no_complaint_at_exit(repository):
    code = (
        "import gymnasium, worldjepa_envs; "
        "env = gymnasium.make('worldjepa/Push-v0', obs_type='pixels', image_size=16); env.reset(seed=0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository / "envs", check=True
    )
    assert run.stderr == ""
