"""Reach: kinematics, the Gymnasium contract, determinism, and the expert."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from tensordict import TensorDict

import worldjepa_envs
from worldjepa_envs.reach import ELBOW_RANGE, SHOULDER_RANGE, fingertip, posture

ENV_ID = "worldjepa/Reach-v0"


def test_inverse_kinematics_undoes_forward_kinematics():
    low, high = (-SHOULDER_RANGE, ELBOW_RANGE[0]), (SHOULDER_RANGE, ELBOW_RANGE[1])
    angles = np.random.default_rng(0).uniform(low, high, (1000, 2))
    points = np.array([fingertip(*row) for row in angles])
    np.testing.assert_allclose(posture(points), angles, atol=1e-6)


def test_fingertip_is_where_the_model_has_it():
    env = gym.make(ENV_ID).unwrapped
    obs, _ = env.reset(seed=3)
    fore = env.data.body("fore")
    tip = fore.xpos[:2] + fore.xmat.reshape(3, 3)[:2, 0] * 0.2
    np.testing.assert_allclose(obs["fingertip"], tip, atol=1e-6)


@pytest.mark.draws
@pytest.mark.parametrize("obs_type", ["state", "pixels", "state+pixels"])
def test_gymnasium_checker_finds_nothing(obs_type):
    env = gym.make(ENV_ID, obs_type=obs_type, image_size=48, render_mode="rgb_array", render_size=64)
    check_env(env.unwrapped)
    env.close()


def test_same_seed_same_episode():
    env, other = gym.make(ENV_ID), gym.make(ENV_ID)
    other.reset(seed=99)
    other.step(np.ones(2, np.float32))
    env.reset(seed=5), other.reset(seed=5)
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    for action in actions:
        first, second = env.step(action), other.step(action)
        assert all((first[0][key] == second[0][key]).all() for key in first[0])
        assert first[1:] == second[1:]


def test_starts_are_not_solved():
    env = gym.make(ENV_ID)
    for seed in range(100):
        obs, info = env.reset(seed=seed)
        assert info == {"is_success": False, "score": 0.0}
        assert env.observation_space.contains(obs)


@pytest.mark.parametrize(("miss", "solved"), [(0.0, True), (0.019, True), (0.021, False)])
def test_success_is_distance_within_tolerance(miss, solved):
    env = gym.make(ENV_ID)
    x, y = fingertip(0.5, 1.0)
    _, info = env.reset(options={"state": [0.5, 1.0, x + miss, y]})
    assert info["is_success"] is solved


def test_joints_follow_the_commanded_speed():
    env = gym.make(ENV_ID).unwrapped
    obs, _ = env.reset(options={"state": [0.0, 1.0, -0.3, 0.0]})
    for _ in range(5):
        obs = env.step(np.array([0.5, -0.25], np.float32))[0]
    np.testing.assert_allclose(obs["velocity"], [1.0, -0.5], atol=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_expert_solves_at_least_95_percent_of_200_seeds(noise):
    env, policy = gym.make(ENV_ID), worldjepa_envs.expert(ENV_ID, noise=noise)
    solved = 0
    for seed in range(200):
        obs, info = env.reset(seed=seed)
        policy.reset(torch.ones(1, dtype=torch.bool))
        ended = False
        while not ended:
            batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
            obs, _, terminated, truncated, info = env.step(policy.act(batch)[0].numpy())
            ended = terminated or truncated
        solved += info["is_success"]
    assert solved >= 190


def test_bad_states_are_refused():
    with pytest.raises(ValueError, match="4 numbers"):
        gym.make(ENV_ID).unwrapped.reset(options={"state": [0.0]})
