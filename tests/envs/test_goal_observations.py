"""Goal observations: they show a solved state, stay as they are, and change nothing else."""

import gymnasium as gym
import numpy as np
import pytest

import worldjepa_envs  # noqa: F401  (registers)

IDS = ["Push", "PushNear", "Reach", "PushT"]


def state_of(name: str, goal: dict[str, np.ndarray]) -> list[float]:
    """The start state that the goal observation describes."""
    if name == "Reach":
        arm = goal["goal_arm"]
        return [np.arctan2(arm[1], arm[0]), np.arctan2(arm[3], arm[2]), *goal["goal"]]
    if name == "PushT":
        return [*goal["goal_agent_pos"], *goal["goal_block_pose"]]
    x, y, cos, sin = goal["goal_block"]
    return [*goal["goal_pusher"], x, y, np.arctan2(sin, cos)]


@pytest.mark.draws
@pytest.mark.parametrize("name", IDS)
def test_it_is_the_observation_of_a_solved_state(name):
    fixed = {"random_goal": False} if name.startswith("Push") and name != "PushT" else {}
    env = gym.make(f"worldjepa/{name}-v0", obs_type="state+pixels", image_size=48, goal_obs=True, **fixed)
    goal, info = env.reset(seed=3)
    assert not info["is_success"]
    solved, info = env.reset(seed=3, options={"state": state_of(name, goal)})
    assert info["is_success"]
    difference = np.abs(solved["image"].astype(int) - goal["goal_image"])
    assert difference.max() <= 2 or (difference > 2).mean() < 0.001  # the state went through float32
    np.testing.assert_allclose(solved["goal_image"], goal["goal_image"])
    env.close()


@pytest.mark.draws
@pytest.mark.parametrize("name", IDS)
def test_it_stays_and_changes_nothing_else(name):
    ids = f"worldjepa/{name}-v0"
    env, plain = (gym.make(ids, obs_type="state+pixels", image_size=32, goal_obs=flag) for flag in (True, False))
    middle = (env.action_space.low + env.action_space.high) / 2
    for seed in (0, 1):
        first, without = env.reset(seed=seed)[0], plain.reset(seed=seed)[0]
        assert first.keys() == without.keys() | {f"goal_{key}" for key in without}
        for turn in range(10):
            action = (middle + (turn % 3) * 0.4 * (env.action_space.high - middle)).astype(np.float32)
            (obs, *rest), (other, *other_rest) = env.step(action), plain.step(action)
            assert rest == other_rest
            assert all((obs[key] == other[key]).all() for key in other)
            assert all(
                (obs[key] == first[key]).all()
                for key in obs
                if key.removeprefix("goal_") in without and key not in without
            )
        assert env.observation_space.contains(obs)
    env.close()
    plain.close()


@pytest.mark.parametrize("name", ["Push", "Reach"])
def test_it_follows_the_episodes_goal(name):
    env = gym.make(f"worldjepa/{name}-v0", goal_obs=True)
    key = {"Push": "goal_block", "Reach": "goal_fingertip"}[name]
    for seed in range(50):
        obs = env.reset(seed=seed)[0]
        np.testing.assert_allclose(obs[key], obs["goal"], atol=1e-6)


def test_of_pixels_there_are_goal_pixels_only():
    env = gym.make("worldjepa/TwoRooms-v0", obs_type="pixels", goal_obs=True)
    assert set(env.observation_space.spaces) == {"image", "goal_image"}


@pytest.mark.draws
def test_a_goal_that_is_not_shown_is_in_no_image():
    shown, hidden = (
        gym.make("worldjepa/Push-v0", obs_type="pixels", goal_obs=True, show_goal=flag, render_mode="rgb_array")
        for flag in (True, False)
    )
    frames = []
    for env in (shown, hidden):
        obs = env.reset(seed=0)[0]
        frames.append((obs["image"], env.render(), env.step(np.zeros(2, np.float32))[0]["image"]))
    green = [image[..., 1].astype(int) - image[..., 0] for pair in frames for image in pair]
    assert [bool(excess.max() > 30) for excess in green] == [True, True, True, False, True, False]
    shown.close()
    hidden.close()
