"""The point mazes of Gymnasium-Robotics: success, goal observations, what is shown."""

import warnings

import gymnasium as gym
import numpy as np
import pytest

import worldjepa_envs  # noqa: F401  (registers)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("gymnasium_robotics")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*is out of date")
ENV_ID = "worldjepa/PointMaze-UMaze-v0"


def test_success_is_the_distance_to_the_goal():
    env = gym.make(ENV_ID)
    obs, info = env.reset(seed=0)
    for _ in range(300):
        distance = np.linalg.norm(obs["achieved_goal"] - obs["desired_goal"])
        assert info["is_success"] is bool(distance <= 0.45)
        if info["is_success"]:
            break
        force = 4 * (obs["desired_goal"] - obs["achieved_goal"]) - obs["observation"][2:]
        obs, _, terminated, _, info = env.step(np.clip(force, -1, 1).astype(np.float32))
        assert terminated is info["is_success"]
    assert info["is_success"]  # seed 0: in the same arm of the U


def test_without_termination_the_goal_stays():
    env = gym.make(ENV_ID, terminate_on_success=False)
    goal = env.reset(seed=1, options={"reset_cell": [1, 1], "goal_cell": [1, 1]})[0]["desired_goal"]
    obs, _, terminated, _, info = env.step(np.zeros(2, np.float32))
    assert info["is_success"]
    assert not terminated
    np.testing.assert_array_equal(obs["desired_goal"], goal)


@pytest.mark.draws
def test_goal_observation_has_the_ball_at_the_goal_and_changes_nothing_else():
    env, plain = (gym.make(ENV_ID, obs_type="state+pixels", image_size=48, goal_obs=flag) for flag in (True, False))
    for seed in (0, 1):
        first, other = env.reset(seed=seed)[0], plain.reset(seed=seed)[0]
        np.testing.assert_array_equal(first["goal_observation"], [*first["desired_goal"], 0.0, 0.0])
        assert (first["goal_image"] != first["image"]).any()
        for _ in range(5):
            obs, other = (e.step(np.array([1.0, -0.5], np.float32))[0] for e in (env, plain))
            assert all((obs[key] == other[key]).all() for key in other)
            assert all((obs[f"goal_{key}"] == first[f"goal_{key}"]).all() for key in other)
        assert env.observation_space.contains(obs)
    env.close()
    plain.close()


@pytest.mark.draws
def test_the_camera_shows_the_ball_where_it_is():
    env = gym.make(ENV_ID, obs_type="state+pixels", image_size=64)
    for cell in ([1, 1], [3, 1], [2, 3]):
        obs, _ = env.reset(seed=0, options={"reset_cell": cell})
        image = obs["image"].astype(int)
        green = np.argwhere(image[..., 1] > np.maximum(image[..., 0], image[..., 2]) + 40).mean(0)
        x, y = obs["achieved_goal"]
        np.testing.assert_allclose(green, [31.5 - 15 * y, 31.5 + 15 * x], atol=2.0)
    env.close()


@pytest.mark.draws
def test_the_goal_is_marked_only_where_asked_for():
    reds = []
    for show in (True, False):
        env = gym.make(ENV_ID, obs_type="pixels", image_size=64, show_goal=show)
        image = env.reset(seed=2)[0]["image"].astype(int)
        reds.append(bool((image[..., 0] - image[..., 1] > 120).any()))
        env.close()
    assert reds == [True, False]


def test_unknown_mazes_are_refused():
    with pytest.raises(ValueError, match="Open, UMaze, Medium, Large"):
        gym.make(ENV_ID, maze="Tiny")
