"""Meta-World adapter: seeds that matter, success that is true, experts that work. Stepped where it installs."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict

import worldjepa_envs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    metaworld = pytest.importorskip("metaworld")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def batch(obs: dict[str, np.ndarray]) -> TensorDict:
    return TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])


def test_registered_tasks_are_those_of_metaworld():
    assert {f"{task}-v3" for task in worldjepa_envs.METAWORLD_TASKS} == set(metaworld.ALL_V3_ENVIRONMENTS)


@pytest.mark.parametrize(("task", "num_episodes"), [("push", 4), ("drawer-open", 4), ("button-press-topdown", 4)])
def test_expert_solves_new_positions(task, num_episodes):
    env_id = f"worldjepa/MetaWorld-{task}-v0"
    env, policy = gym.make(env_id), worldjepa_envs.expert(env_id)
    starts = []
    for seed in range(num_episodes):
        obs, info = env.reset(seed=seed)
        assert info["is_success"] is False
        assert env.observation_space.contains(obs)
        starts.append(np.concatenate([obs["object"], obs["goal"]]))
        policy.reset(torch.ones(1, dtype=torch.bool))
        ended = False
        while not ended:
            obs, _, terminated, truncated, info = env.step(policy.act(batch(obs))[0].numpy())
            ended = terminated or truncated
        assert info["is_success"] is True
        assert not truncated
    assert len(np.unique(np.array(starts), axis=0)) == num_episodes


def test_same_seed_same_episode_whatever_came_before():
    env, other = worldjepa_envs.make_metaworld("push"), worldjepa_envs.make_metaworld("push-v3")
    other.reset(seed=9)
    for _ in range(20):
        other.step(np.full(4, 0.5, np.float32))
    first, second = env.reset(seed=5)[0], other.reset(seed=5)[0]
    for _ in range(20):
        assert all((first[key] == second[key]).all() for key in first)
        action = np.array([0.3, 0.5, -0.5, 0.2], np.float32)
        first, second = env.step(action)[0], other.step(action)[0]


def test_observation_is_that_of_metaworld_in_parts():
    env = worldjepa_envs.make_metaworld("push")
    obs, _ = env.reset(seed=0)
    raw = env.unwrapped._get_obs()
    np.testing.assert_array_equal(np.concatenate([obs["hand"], obs["object"]]), raw[:18].astype(np.float32))
    np.testing.assert_array_equal(obs["goal"], raw[36:].astype(np.float32))
    assert (obs["goal"] != 0).any()


def test_start_of_window_close_is_not_solved():
    env = worldjepa_envs.make_metaworld("window-close")  # Meta-World's first observation looks solved
    assert env.reset(seed=0)[1]["is_success"] is False


def test_time_limit_is_the_registered_one():
    env = gym.make("worldjepa/MetaWorld-reach-v0", max_episode_steps=600, terminate_on_success=False)
    env.reset(seed=0)
    ended = [env.step(np.zeros(4, np.float32))[3] for _ in range(600)]
    assert ended.index(True) == 599


@pytest.mark.draws
def test_images_are_upright_and_alive():
    env = gym.make("worldjepa/MetaWorld-push-v0", obs_type="state+pixels", image_size=64)
    obs, _ = env.reset(seed=0)
    red = (obs["image"][..., 0] > 100) & (obs["image"][..., 1] < 60)  # the robot
    assert red.any()
    assert np.argwhere(red)[:, 0].min() < 32  # its arm is in the upper half
    for _ in range(10):
        moved = env.step(np.array([1, 1, 0, 0], np.float32))[0]
    assert (moved["image"] != obs["image"]).any()
    env.close()


def test_unknown_task_lists_the_names():
    with pytest.raises(ValueError, match="drawer-open"):
        worldjepa_envs.make_metaworld("juggle")
