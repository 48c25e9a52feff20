"""Environments from robomimic's description; robosuite is stepped where it installs."""

import json
import warnings

import numpy as np
import pytest

from worldjepa_envs import make_from_env_args

CONTROLLER = {  # the format of robosuite 1.4, as in the published robomimic files
    "type": "OSC_POSE",
    "input_max": 1,
    "input_min": -1,
    "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
    "output_min": [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5],
    "kp": 150,
    "damping": 1,
    "impedance_mode": "fixed",
    "kp_limits": [0, 300],
    "damping_limits": [0, 10],
    "position_limits": None,
    "orientation_limits": None,
    "uncouple_pos_ori": True,
    "control_delta": True,
    "interpolation": None,
    "ramp_ratio": 0.2,
}
LIFT = {
    "env_name": "Lift",
    "type": 1,
    "env_kwargs": {
        "robots": ["Panda"],
        "controller_configs": CONTROLLER,
        "control_freq": 20,
        "use_camera_obs": False,
        "camera_names": "agentview",
        "camera_heights": 48,
        "camera_widths": 48,
    },
}


def test_gymnasium_environment_from_json():
    args = {"env_name": "worldjepa/Push-v0", "type": 2, "env_kwargs": {"random_goal": False}}
    env = make_from_env_args(json.dumps(args), terminate_on_success=False)
    np.testing.assert_allclose(env.reset(seed=0)[0]["goal"], [0.24, 0, 1, 0], atol=1e-6)
    assert env.spec is not None
    assert env.spec.kwargs == {"random_goal": False, "terminate_on_success": False}


@pytest.mark.parametrize("env_args", ["no json", "[]", "{}", {"env_name": "Lift"}, None])
def test_what_is_no_description_is_refused(env_args):
    with pytest.raises(ValueError, match=r"env_args must be"):
        make_from_env_args(env_args)


def test_another_simulator_is_refused():
    with pytest.raises(ValueError, match="type 3"):
        make_from_env_args({"env_name": "x", "type": 3})


@pytest.fixture
def robosuite():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("robosuite")


@pytest.mark.slow
@pytest.mark.draws
@pytest.mark.filterwarnings("ignore")  # robosuite and numba deprecations
def test_robosuite_lift_is_lifted(robosuite):
    env = make_from_env_args(LIFT, obs_type="state+pixels")
    starts = [env.reset(seed=seed)[0]["object"][:3] for seed in (0, 1, 0)]
    np.testing.assert_array_equal(starts[0], starts[2])
    assert (starts[0] != starts[1]).any()
    obs, info = env.reset(seed=0)
    assert info["is_success"] is False
    assert env.observation_space.contains(obs)
    image = obs["agentview_image"].astype(int)
    assert image[:8].std() > image[-8:].std()  # upright: the robot above, the bare table below
    for step in range(100):
        obs, _, terminated, _, info = env.step(lift(obs, step))
        if terminated:
            break
    assert info["is_success"]
    env.close()


def lift(obs: dict[str, np.ndarray], step: int) -> np.ndarray:
    """Go down to the cube with open fingers, close them, go up."""
    to_cube = obs["object"][:3] - obs["robot0_eef_pos"]
    action = np.zeros(7, np.float32)
    if step < 40:
        action[:3], action[6] = np.clip(20 * to_cube, -1, 1), -1
    else:
        action[2], action[6] = float(step > 50), 1
    return action
