"""Gymnasium-Robotics adapter, stepped where it installs."""

import warnings

import gymnasium as gym
import numpy as np
import pytest

import worldjepa_envs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("gymnasium_robotics")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*is out of date")


def reach(obs: dict[str, np.ndarray]) -> np.ndarray:
    """Move the gripper straight to the goal."""
    return np.append(np.clip(8 * (obs["desired_goal"] - obs["achieved_goal"]), -1, 1), 0).astype(np.float32)


def test_success_is_the_distance_to_the_goal():
    env = gym.make("worldjepa/FetchReach-v0")
    for seed in range(5):
        obs, info = env.reset(seed=seed)
        for _ in range(50):
            distance = np.linalg.norm(obs["achieved_goal"] - obs["desired_goal"])
            assert info["is_success"] is bool(distance < 0.05)
            if info["is_success"]:
                break
            obs, _, terminated, _, info = env.step(reach(obs))
            assert terminated is info["is_success"]
        assert info["is_success"]


def test_same_seed_same_start_and_float32():
    env, other = (worldjepa_envs.make_robotics("FetchPush-v4") for _ in range(2))
    other.reset(seed=1)
    first, second = env.reset(seed=2)[0], other.reset(seed=2)[0]
    assert all(value.dtype == np.float32 for value in first.values())
    assert all((first[key] == second[key]).all() for key in first)
    assert env.observation_space.contains(first)


@pytest.mark.draws
def test_image_follows_the_scene():
    env = gym.make("worldjepa/FetchReach-v0", obs_type="state+pixels", image_size=64, terminate_on_success=False)
    first = env.reset(seed=0)[0]["image"]
    for _ in range(10):
        last = env.step(np.array([0, 1, 1, 0], np.float32))[0]["image"]
    assert first.shape == (64, 64, 3)
    assert (first != last).mean() > 0.005
    env.close()


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="goal environment"):
        worldjepa_envs.make_robotics("CartPole-v1")
