"""TwoRooms: walls that hold, the meaning of success, goal observations, the expert."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from tensordict import TensorDict

import worldjepa_envs
from worldjepa_envs.rooms import rooms
from worldjepa_envs.two_rooms import TwoRoomsEnv

ENV_ID = "worldjepa/TwoRooms-v0"


def walk(env: gym.Env, action: list[float], num_steps: int) -> np.ndarray:
    """Where the dot is after ``num_steps`` of ``action``."""
    obs = [env.step(np.array(action, np.float32))[0] for _ in range(num_steps)]
    return obs[-1]["agent"]


def squares(num: int, seed: int = 0):
    """Random rooms, and a free point in each."""
    random = np.random.default_rng(seed)
    layout = random.uniform([-0.35, -0.6], [0.35, 0.6], (num, 2))
    place = rooms(layout, np.full(num, 0.1), np.full(num, 0.06), np.full(num, 0.24))
    position = random.uniform(-0.9, 0.9, (num, 2))
    while (bad := place.blocked(position)).any():
        position[bad] = random.uniform(-0.9, 0.9, (int(bad.sum()), 2))
    return place, position


@pytest.mark.parametrize("obs_type", ["state", "pixels", "state+pixels"])
def test_gymnasium_checker_finds_nothing(obs_type):
    env = gym.make(ENV_ID, obs_type=obs_type, goal_obs=True, render_mode="rgb_array", render_size=64)
    check_env(env.unwrapped)


@pytest.mark.parametrize("length", [0.08, 0.5, 3.0])
def test_no_walk_enters_a_wall_or_jumps_through_one(length):
    place, position = squares(500)
    random = np.random.default_rng(1)
    for _ in range(100):
        side, off_line = position[:, 0] > place.layout[:, 0], np.abs(position[:, 1] - place.layout[:, 1])
        position = place.move(position, random.uniform(-length, length, (500, 2)))
        assert not place.blocked(position).any()
        crossed = side != (position[:, 0] > place.layout[:, 0])
        assert (off_line - place.free)[crossed].max(
            initial=0.0
        ) < 1e-9  # x is moved first: through the door only from in line with it


def test_it_slides_along_a_wall_and_stops_at_it():
    env = gym.make(ENV_ID)
    env.reset(options={"state": [-0.3, -0.5, 0.5, 0.5, 0.0, 0.5]})
    np.testing.assert_allclose(
        walk(env, [1.0, 0.5], 5), [-0.16, -0.3], atol=1e-6
    )  # radius 0.1 + half thickness 0.06; 5 x 0.04
    np.testing.assert_allclose(walk(env, [-1.0, -1.0], 50), [-0.9, -0.9], atol=1e-6)


def test_it_goes_through_the_door():
    env = gym.make(ENV_ID, terminate_on_success=False)
    env.reset(options={"state": [-0.5, 0.5, 0.8, -0.8, 0.0, 0.5]})
    np.testing.assert_allclose(walk(env, [1.0, 0.1], 10), [0.3, 0.58], atol=1e-6)


@pytest.mark.parametrize(("miss", "solved"), [(0.0, True), (0.139, True), (0.141, False)])
def test_success_is_distance_within_tolerance(miss, solved):
    env = gym.make(ENV_ID)
    _, info = env.reset(options={"state": [0.5 - miss, 0.5, 0.5, 0.5, -0.2, 0.0]})
    assert info["is_success"] is solved


def test_a_goal_behind_the_wall_is_out_of_reach():
    env = TwoRoomsEnv(variation={"wall_width": 0.04, "agent_radius": 0.06})  # the thinnest wall, the smallest dot
    _, info = env.reset(options={"state": [-0.1, 0.8, 0.1, 0.8, 0.0, 0.0]})
    assert not info["is_success"]


def test_starts_are_in_other_rooms_and_not_solved():
    env = gym.make(ENV_ID)
    starts = []
    for seed in range(200):
        obs, info = env.reset(seed=seed)
        assert info == {"is_success": False, "score": 0.0}
        assert env.observation_space.contains(obs)
        assert (obs["agent"][0] < obs["layout"][0]) != (obs["goal"][0] < obs["layout"][0])
        starts.append(np.concatenate(list(obs.values())))
    assert np.unique(np.array(starts), axis=0).shape[0] == 200


def test_starts_follow_the_options():
    env = gym.make(ENV_ID, random_layout=False, goal_room="same", start_distance=(0.5, 0.6))
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        assert (obs["layout"] == 0.0).all()
        assert (obs["agent"][0] < 0.0) == (obs["goal"][0] < 0.0)
        assert 0.5 <= np.linalg.norm(obs["agent"] - obs["goal"]) <= 0.6


def test_return_is_progress_and_success():
    env, policy = gym.make(ENV_ID), worldjepa_envs.expert(ENV_ID)
    obs, info = env.reset(seed=4)
    policy.reset(torch.ones(1, dtype=torch.bool))
    total, ended = 0.0, False
    while not ended:
        batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
        obs, reward, terminated, truncated, info = env.step(policy.act(batch)[0].numpy())
        total, ended = total + float(reward), terminated or truncated
    assert info["is_success"]
    assert total == pytest.approx(info["score"] + 1.0)


def test_goal_observation_shows_a_solved_state_and_stays():
    env = gym.make(ENV_ID, obs_type="state+pixels", goal_obs=True)
    obs, _ = env.reset(seed=7)
    solved, info = env.reset(options={"state": np.concatenate([obs["goal_agent"], obs["goal"], obs["layout"]])})
    assert info["is_success"]
    np.testing.assert_array_equal(solved["image"], obs["goal_image"])
    start, _ = env.reset(seed=7)
    later = env.step(np.ones(2, np.float32))[0]
    np.testing.assert_array_equal(later["goal_image"], start["goal_image"])
    assert not np.array_equal(later["image"], start["image"])


def test_goal_observations_change_nothing_else():
    with_goal, without = (gym.make(ENV_ID, obs_type="state+pixels", goal_obs=flag) for flag in (True, False))
    first, second = with_goal.reset(seed=3)[0], without.reset(seed=3)[0]
    for _ in range(5):
        assert all((first[key] == second[key]).all() for key in second)
        first, second = (env.step(np.array([0.3, -0.8], np.float32))[0] for env in (with_goal, without))


def test_image_has_the_dot_where_it_is_and_the_wall_with_its_door():
    env = gym.make(ENV_ID, obs_type="pixels")
    image = env.reset(options={"state": [-0.6, 0.7, 0.6, 0.0, 0.1, -0.4]})[0]["image"].astype(int)
    orange = np.argwhere(image[..., 0] - image[..., 2] > 100)
    row, column = (orange.mean(0) + 0.5) / 28  # 28 pixels a half side, and a frame of 4
    assert (column - 32 / 28, 32 / 28 - row) == pytest.approx((-0.6, 0.7), abs=0.02)
    wall = image[:, int(32 + 0.1 * 28)].sum(1) < 300
    inside = wall[4:60]
    assert inside.sum() == pytest.approx(56 - 0.48 * 28, abs=1.5)
    assert np.flatnonzero(~inside).mean() == pytest.approx((1 + 0.4) * 28 - 0.5, abs=1.0)


def test_drawing_is_anti_aliased():
    env = gym.make(ENV_ID, obs_type="pixels")
    frames = [env.reset(options={"state": [-0.6 + d, 0.7, 0.6, 0, 0.1, 0]})[0]["image"] for d in (0.0, 0.004)]
    assert 0 < np.abs(frames[0].astype(int) - frames[1]).max() < 60  # a ninth of a pixel


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_expert_solves_at_least_95_percent(noise):
    num = 200
    envs = gym.make_vec(ENV_ID, num, autoreset_mode="Disabled")
    policy = worldjepa_envs.expert(ENV_ID, noise=noise)
    policy.reset(torch.ones(num, dtype=torch.bool))
    obs, _ = envs.reset(seed=0)
    terminated = truncated = np.zeros(num, bool)
    while not (terminated | truncated).all():
        batch = TensorDict({key: torch.from_numpy(value) for key, value in obs.items()}, [num])
        obs, _, terminated, truncated, _ = envs.step(policy.act(batch).numpy())
    assert terminated.mean() >= 0.95


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"obs_type": "depth"}, "obs_type"),
        ({"image_size": 0}, "image_size"),
        ({"render_mode": "ansi"}, "render_mode"),
        ({"goal_room": "kitchen"}, "other, same, any"),
        ({"start_distance": (1.0, 0.5)}, "start_distance"),
    ],
)
def test_unknown_options_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwoRoomsEnv(**kwargs)


def test_bad_actions_and_states_are_refused():
    env = TwoRoomsEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.nan, 0.0]))
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match="6 numbers"):
        env.reset(options={"state": [0.0, 0.0]})
    with pytest.raises(ValueError, match="wall"):
        env.reset(options={"state": [0.0, 0.9, 0.5, 0.5, 0.0, 0.0]})
    with pytest.raises(ValueError, match="widen start_distance"):
        TwoRoomsEnv(start_distance=(5.0, 5.1)).reset(seed=0)
