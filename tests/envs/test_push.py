"""Push: the Gymnasium contract, determinism, the meaning of success, and the expert."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from tensordict import TensorDict

import worldjepa_envs
from worldjepa_envs.push import PushEnv

ENV_ID = "worldjepa/Push-v0"


def rollout(env: gym.Env, policy, seed: int) -> tuple[list[dict], list[np.ndarray], dict]:
    """Run ``policy`` from ``seed`` to the end of the episode."""
    obs, info = env.reset(seed=seed)
    policy.reset(torch.ones(1, dtype=torch.bool))
    observations, actions = [obs], []
    while True:
        batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
        actions.append(policy.act(batch)[0].numpy())
        obs, _, terminated, truncated, info = env.step(actions[-1])
        observations.append(obs)
        if terminated or truncated:
            return observations, actions, info


@pytest.mark.draws
@pytest.mark.parametrize("obs_type", ["state", "pixels", "state+pixels"])
def test_gymnasium_checker_finds_nothing(obs_type):
    env = gym.make(ENV_ID, obs_type=obs_type, image_size=48, render_mode="rgb_array", render_size=64)
    check_env(env.unwrapped)
    env.close()


def test_same_seed_same_episode():
    env, other = gym.make(ENV_ID), gym.make(ENV_ID)
    other.reset(seed=99)  # another history must not matter
    other.step(np.ones(2, np.float32))
    policy = worldjepa_envs.expert(ENV_ID)
    first, second = rollout(env, policy, 5)[0], rollout(other, policy, 5)[0]
    assert len(first) == len(second)
    assert all((a[key] == b[key]).all() for a, b in zip(first, second) for key in a)


def test_starts_differ_and_are_not_solved():
    env = gym.make(ENV_ID)
    starts = []
    for seed in range(100):
        obs, info = env.reset(seed=seed)
        assert info == {"is_success": False, "score": 0.0}
        assert env.observation_space.contains(obs)
        starts.append(np.concatenate(list(obs.values())))
    assert np.unique(np.array(starts), axis=0).shape[0] == 100


@pytest.mark.parametrize(
    ("shift", "turn", "solved"), [(0.0, 0.0, True), (0.024, 0.19, True), (0.026, 0.0, False), (0.0, 0.21, False)]
)
def test_success_is_position_and_angle_within_tolerance(shift, turn, solved):
    env = gym.make(ENV_ID, random_goal=False)
    x, y, angle = 0.24, 0.0, 0.0
    _, info = env.reset(options={"state": [-0.3, 0.3, x - shift, y, angle - turn]})
    assert info["is_success"] is solved
    _, reward, terminated, _, info = env.step(np.zeros(2, np.float32))
    assert info["is_success"] is solved
    assert terminated is solved
    assert reward == pytest.approx(float(solved), abs=1e-3)


def test_full_turns_do_not_count_as_error():
    env = gym.make(ENV_ID, random_goal=False)
    _, info = env.reset(options={"state": [-0.3, 0.3, 0.24, 0.0, 4 * np.pi]})
    assert info["is_success"]


def test_block_moves_only_when_pushed():
    env = gym.make(ENV_ID, random_goal=False)
    before, _ = env.reset(options={"state": [-0.35, 0.0, -0.1, 0.0, 0.0]})
    for _ in range(5):
        obs = env.step(np.array([1.0, 0.0], np.float32))[0]
    np.testing.assert_array_equal(obs["block"], before["block"])
    np.testing.assert_allclose(obs["pusher"], [-0.25, 0.0], atol=0.01)  # 5 steps of 0.02 m
    for _ in range(15):
        obs = env.step(np.array([1.0, 0.0], np.float32))[0]
    assert obs["block"][0] == pytest.approx(obs["pusher"][0] + 0.06, abs=0.005)  # rides in front of the finger


def test_without_termination_the_episode_runs_to_the_limit():
    env = gym.make(ENV_ID, random_goal=False, terminate_on_success=False)
    env.reset(options={"state": [-0.3, 0.3, 0.24, 0.0, 0.0]})
    _, _, terminated, _, info = env.step(np.zeros(2, np.float32))
    assert info["is_success"]
    assert not terminated


@pytest.mark.parametrize(("random_goal", "noise", "num_seeds"), [(True, 0.0, 200), (True, 0.2, 50), (False, 0.0, 50)])
def test_expert_solves_at_least_95_percent(random_goal, noise, num_seeds):
    env = gym.make(ENV_ID, random_goal=random_goal)
    policy = worldjepa_envs.expert(ENV_ID, noise=noise)
    solved = [rollout(env, policy, seed)[2]["is_success"] for seed in range(num_seeds)]
    assert np.mean(solved) >= 0.95


@pytest.mark.draws
def test_image_shows_the_block_where_it_is():
    env = gym.make(ENV_ID, obs_type="state+pixels", random_goal=False)
    left, _ = env.reset(options={"state": [0.0, -0.4, -0.2, 0.2, 0.0]})
    right, _ = env.reset(options={"state": [0.0, -0.4, -0.2, -0.2, 0.0]})
    blue = [np.argwhere(obs["image"][..., 2] > obs["image"][..., 0].astype(int) + 60) for obs in (left, right)]
    assert blue[0][:, 0].mean() < 48 < blue[1][:, 0].mean()  # larger y is higher in the image
    env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"obs_type": "depth"}, "obs_type"), ({"image_size": 0}, "image_size"), ({"render_mode": "ansi"}, "render_mode")],
)
def test_unknown_options_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PushEnv(**kwargs)


def test_bad_actions_and_states_are_refused():
    env = gym.make(ENV_ID).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.nan, 0.0]))
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match="5 numbers"):
        env.reset(options={"state": [0.0, 0.0]})


def test_push_near_starts_near():
    env = gym.make("worldjepa/PushNear-v0")
    for seed in range(100):
        obs, info = env.reset(seed=seed)
        assert not info["is_success"]
        forward = obs["goal"][2:]
        offset = obs["goal"][:2] - obs["block"][:2]
        assert 0.08 <= offset @ forward <= 0.16
        assert abs(forward[0] * offset[1] - forward[1] * offset[0]) <= 0.03
        assert np.arccos(np.clip(obs["block"][2:] @ forward, -1, 1)) <= 0.3001
        assert (np.abs(obs["pusher"] - [0.1, 0.0]) < 0.34).all()


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_expert_solves_push_near_within_40_steps(noise):
    env, policy = gym.make("worldjepa/PushNear-v0"), worldjepa_envs.expert("worldjepa/PushNear-v0", noise=noise)
    episodes = [rollout(env, policy, seed) for seed in range(60)]
    assert np.mean([info["is_success"] and len(actions) <= 40 for _, actions, info in episodes]) >= 0.95


def test_the_finger_stays_in_the_workspace():
    env = gym.make("worldjepa/PushNear-v0", terminate_on_success=False)
    env.reset(options={"state": [0.1, 0.2, 0.2, -0.2, 0.0]})
    for _ in range(40):
        obs = env.step(np.array([-1.0, 1.0], np.float32))[0]
    np.testing.assert_allclose(obs["pusher"], [-0.24, 0.34], atol=0.01)


@pytest.mark.draws
def test_the_camera_shows_the_workspace():
    env = gym.make(ENV_ID, obs_type="pixels", random_goal=False, workspace=0.34, centre=(0.1, 0.0), show_goal=False)
    image = env.reset(options={"state": [0.1, 0.0, 0.3, 0.3, 0.0]})[0]["image"].astype(int)
    orange = np.argwhere(image[..., 0] - image[..., 2] > 100)
    np.testing.assert_allclose(orange.mean(0), [47.5, 47.5], atol=4.0)  # the camera stands a little to the front
    env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"start_distance": (0.01, 0.1)}, "start_distance"),
        ({"start_distance": (0.3, 0.2)}, "start_distance"),
        ({"start_beside": 0.5}, "start_beside"),
        ({"start_turn": -0.1}, "start_turn"),
        ({"workspace": 0.4, "centre": (0.2, 0.0)}, "workspace"),
    ],
)
def test_starts_that_do_not_fit_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PushEnv(**kwargs)
