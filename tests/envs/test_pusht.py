"""Push-T: equal to gym-pusht step for step, and to the human demonstrations it must replay."""

import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldjepa_envs  # noqa: F401  (registers the environments)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pygame imports pkg_resources
    reference = pytest.importorskip("gym_pusht.envs.pusht", exc_type=ImportError)  # its OpenCV needs libGL

from worldjepa_envs.pusht import keypoints

ENV_ID = "worldjepa/PushT-v0"


class Reference(reference.PushTEnv):
    """gym-pusht with the order of its reset mended."""

    def _set_state(self, state):
        self.agent.position = list(state[:2])
        self.block.angle = state[4]
        self.block.position = list(state[2:4])
        self.space.step(self.dt)


@pytest.fixture(scope="module")
def recording(request):
    """Arrays of the human data set: state, action, keypoint [N, ...], img, episode_ends."""
    folder: Path = request.getfixturevalue("data_dir")
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.ZipStore(folder / "robot" / "pusht_cchi_v7_replay.zarr.zip", mode="r")
    group = zarr.open_group(store, mode="r", path="pusht_cchi_v7_replay.zarr")
    arrays = {key: group["data"][key][:] for key in ("state", "action", "keypoint")}
    return {**arrays, "img": group["data"]["img"][::2500], "ends": group["meta"]["episode_ends"][:]}


@pytest.mark.draws
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")  # pixels, as in the demonstrations
@pytest.mark.parametrize("obs_type", ["state", "state+pixels"])
def test_gymnasium_checker_finds_nothing_else(obs_type):
    check_env(gym.make(ENV_ID, obs_type=obs_type, render_mode="rgb_array").unwrapped)


def test_equals_gym_pusht_step_for_step():
    env, other = gym.make(ENV_ID).unwrapped, Reference()
    generator = np.random.default_rng(0)
    for _ in range(3):
        state = [100.0, 250.0, *generator.uniform([200, 200], [300, 300]), generator.uniform(-3, 3)]
        env.reset(options={"state": state})
        other.reset(options={"reset_to_state": state})
        target = np.array(state[:2])
        for _ in range(100):
            target = np.clip(target + generator.normal(10.0, 60.0, 2), 0, 512)
            obs, reward, terminated, _, info = env.step(target)
            _, other_reward, other_terminated, _, other_info = other.step(target)
            np.testing.assert_array_equal(obs["agent_pos"], np.float32(other_info["pos_agent"]))
            np.testing.assert_array_equal(obs["block_pose"][:2], np.float32(other_info["block_pose"][:2]))
            assert info["score"] == pytest.approx(other_info["coverage"], abs=1e-9)
            assert reward == pytest.approx(other_reward, abs=1e-9)
            assert terminated == other_terminated


def test_same_seed_same_start_as_gym_pusht_draws():
    env, other = gym.make(ENV_ID).unwrapped, Reference()
    obs, info = env.reset(seed=7)
    other_obs, _ = other.reset(seed=7)
    np.testing.assert_allclose(np.r_[obs["agent_pos"], obs["block_pose"]], other_obs, rtol=1e-6)
    assert info["is_success"] is False
    assert 0.0 <= info["score"] < 0.95


@pytest.mark.parametrize(("threshold", "solved"), [(0.95, False), (0.90, True)])
def test_success_is_coverage_at_the_threshold(threshold, solved):
    env = gym.make(ENV_ID, success_threshold=threshold)
    state = [50.0, 50.0, 258.5, 258.5, np.pi / 4]  # 3.5 px along the stem
    _, info = env.reset(options={"state": state})
    assert 0.90 < info["score"] < 0.95
    assert info["is_success"] is solved
    _, reward, terminated, _, info = env.step(np.array([50.0, 50.0], np.float32))
    assert (info["is_success"], terminated) == (solved, solved)
    assert reward == pytest.approx(min(info["score"] / threshold, 1.0))


def test_bad_input_is_refused():
    env = gym.make(ENV_ID).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.inf, 0.0]))
    with pytest.raises(ValueError, match="5 numbers"):
        env.reset(options={"state": [1.0, 2.0]})
    with pytest.raises(ValueError, match="success_threshold"):
        gym.make(ENV_ID, success_threshold=90)


def test_relative_actions_go_where_absolute_ones_do():
    near, plain = (gym.make(ENV_ID, relative_actions=flag).unwrapped for flag in (True, False))
    state = [500.0, 250.0, 300.0, 300.0, 1.0]
    obs = near.reset(options={"state": state})[0]
    plain.reset(options={"state": state})
    assert near.get_wrapper_attr("hold_key") is None  # zero holds still
    for offset in ([40.0, -30.0], [0.0, 0.0], [-100.0, 90.0]):  # the first leaves the table: its target is clipped
        target = np.clip(obs["agent_pos"] + np.array(offset, np.float32), 0, 512)
        obs = near.step(np.array(offset))[0]
        expected = plain.step(target)[0]
        np.testing.assert_allclose(obs["agent_pos"], expected["agent_pos"], atol=1e-3)
        np.testing.assert_allclose(obs["block_pose"], expected["block_pose"], atol=1e-3)
    assert near.action_space.contains(np.array([100.0, -100.0], np.float32))
    assert not near.action_space.contains(np.array([101.0, 0.0], np.float32))


GOAL = [100.0, 100.0, 300.0, 200.0, 0.1]


@pytest.mark.parametrize(
    ("change", "solved"),
    [
        ([0, 0, 0, 0, 0], True),
        ([0, 19, 0, 0, 0], True),
        ([0, 21, 0, 0, 0], False),  # the agent counts
        ([15, 0, 0, -15, 0], False),  # 21 px together
        ([13, 0, 0, -13, 0], True),
        ([0, 0, 0, 0, 0.34], True),
        ([0, 0, 0, 0, -0.36], False),
        ([0, 0, 0, 0, 2 * np.pi - 0.3], True),
    ],
)
def test_a_goal_state_is_reached_by_agent_and_block(change, solved):
    env = gym.make(ENV_ID, goal_obs=True)
    obs, info = env.reset(options={"state": np.add(GOAL, change), "goal": GOAL})
    assert info["is_success"] is solved
    np.testing.assert_allclose(obs["goal_agent_pos"], GOAL[:2])
    np.testing.assert_allclose(obs["goal_block_pose"], GOAL[2:], rtol=1e-6)
    np.testing.assert_allclose(obs["goal_keypoints"], keypoints(np.array(GOAL[2:])), rtol=1e-5)
    *_, terminated, _, info = env.step(np.add(GOAL, change)[:2].astype(np.float32))
    assert (terminated, info["is_success"]) == (solved, solved)


def test_the_goal_of_one_episode_is_forgotten_in_the_next():
    env = gym.make(ENV_ID, goal_obs=True)
    usual = env.reset(seed=0)[0]["goal_block_pose"]
    obs, info = env.reset(seed=0, options={"goal": GOAL})
    assert abs(obs["goal_block_pose"] - usual).max() > 10
    at_goal = env.reset(options={"state": GOAL, "goal": GOAL})[1]["score"]
    assert at_goal == pytest.approx(1.0)
    obs, info = env.reset(options={"state": GOAL})
    np.testing.assert_array_equal(obs["goal_block_pose"], usual)
    assert info["score"] < 0.5
    assert not info["is_success"]
    with pytest.raises(ValueError, match=r"options\['goal'\] must be 5 numbers"):
        env.reset(options={"goal": [1.0, np.nan, 1.0, 1.0, 1.0]})


@pytest.mark.draws
def test_the_goal_is_shown_as_a_picture_too():
    env = gym.make(ENV_ID, obs_type="pixels", image_size=48, goal_obs=True)
    start = [400.0, 400.0, 150.0, 300.0, 2.0]
    obs = env.reset(options={"state": start, "goal": GOAL})[0]
    there = env.reset(options={"state": GOAL})[0]["image"].astype(int)
    assert np.abs(obs["goal_image"] - there).max() <= 2
    assert np.abs(obs["image"] - there).max() > 100


@pytest.mark.data
def test_keypoints_reproduce_the_recording(recording):
    error = np.abs(keypoints(recording["state"][:, 2:]) - recording["keypoint"].reshape(-1, 18)).max(1)
    assert np.median(error) < 0.01
    assert np.mean(error < 0.5) > 0.999  # 22 of 25,650 rows were recorded while overlapping bodies came apart


@pytest.mark.data
def test_replay_of_the_demonstrations_is_exact(recording):
    env = gym.make(ENV_ID).unwrapped
    ends = recording["ends"]
    errors, scores = [], []
    for start, end in list(zip([0, *ends[:-1]], ends))[::10]:
        obs, info = env.reset(options={"state": recording["state"][start]})
        for t in range(start, end):
            pose = recording["state"][t, 2:]
            errors.append(np.abs(obs["block_pose"][:2] - pose[:2]).max())
            obs, _, _, _, info = env.step(recording["action"][t])
        scores.append(info["score"])
    assert np.median(errors) < 1e-3
    assert max(errors) < 0.5
    assert np.mean(scores) == pytest.approx(0.90, abs=0.02)


@pytest.mark.data
@pytest.mark.draws
def test_images_equal_the_recorded_ones(recording):
    env = gym.make(ENV_ID, obs_type="pixels").unwrapped
    for state, image in zip(recording["state"][::2500], recording["img"]):
        obs, _ = env.reset(options={"state": state})
        difference = np.abs(obs["image"].astype(float) - image)
        assert difference.mean() < 1.0  # grey levels of 255
