"""TwoRooms, many at once: the same numbers as one at a time, whatever resets them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

ENV_ID = "worldjepa/TwoRooms-v0"
NUM = 3
KWARGS = {"obs_type": "state+pixels", "goal_obs": True, "goal_room": "any", "start_distance": (0.15, 0.5)}


def make(kind: str, mode: str, **kwargs) -> Any:
    if kind == "sync":
        return gym.make_vec(
            ENV_ID, NUM, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **KWARGS, **kwargs
        )
    return gym.make_vec(ENV_ID, NUM, vectorization_mode="vector_entry_point", autoreset_mode=mode, **KWARGS, **kwargs)


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        if isinstance(value, dict):
            assert_same(value, second[key])
        elif isinstance(value, np.ndarray) and value.dtype != object:
            np.testing.assert_array_equal(value, second[key])
            assert value.dtype == np.asarray(second[key]).dtype, key


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_bit_equal_to_gymnasiums_vector_of_single_environments(mode):
    ours, theirs = make("ours", mode), make("sync", mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    first, second = ours.reset(seed=[5, 9, 2]), theirs.reset(seed=[5, 9, 2])
    actions = np.random.default_rng(0).uniform(-1, 1, (150, NUM, 2)).astype(np.float32)
    ends = 0
    for action in actions:
        assert_same(first[0], second[0])
        assert_same(first[-1], second[-1])
        for a, b in zip(first[1:-1], second[1:-1]):
            np.testing.assert_array_equal(a, b)
        if "final_obs" in second[-1]:
            for row in np.flatnonzero(second[-1]["_final_obs"]):
                assert_same(first[-1]["final_obs"][row], second[-1]["final_obs"][row])
        ends += int((first[2] | first[3]).sum()) if len(first) == 5 else 0
        first, second = ours.step(action), theirs.step(action)
    assert ends >= 3


def test_reset_by_mask_is_bit_equal_and_leaves_the_others_alone():
    ours, theirs = make("ours", "Disabled"), make("sync", "Disabled")
    for envs in (ours, theirs):
        envs.reset(seed=1)
    action = np.array([[0.5, 0.2], [-0.3, 0.9], [0.1, -1.0]], np.float32)
    before = ours.step(action)[0]
    theirs.step(action)
    mask = np.array([False, True, False])
    results = [envs.reset(seed=[None, 77, None], options={"reset_mask": mask.copy()}) for envs in (ours, theirs)]
    assert_same(results[0][0], results[1][0])
    assert_same(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][0]["image"][~mask], before["image"][~mask])
    assert not np.array_equal(results[0][0]["image"][1], before["image"][1])


def test_without_autoreset_an_ended_row_stands_still():
    envs = make("ours", "Disabled")
    state = [0.5, 0.5, 0.5, 0.62, 0.0, 0.0]
    envs.reset(seed=0, options={"state": np.array([state, [-0.5, 0.5, 0.5, 0.5, 0.0, 0.0], state])})
    first = envs.step(np.ones((NUM, 2), np.float32))
    assert first[2].tolist() == [True, False, True]
    second = envs.step(np.ones((NUM, 2), np.float32))
    assert second[2].tolist() == [True, False, True]
    assert second[1].tolist() == [0.0, pytest.approx(second[4]["score"][1] - first[4]["score"][1]), 0.0]
    np.testing.assert_array_equal(second[0]["agent"][[0, 2]], first[0]["agent"][[0, 2]])
    assert (second[0]["agent"][1] != first[0]["agent"][1]).any()


def test_observations_are_copies():
    envs = make("ours", "NextStep")
    obs = envs.reset(seed=0)[0]
    kept = {key: value.copy() for key, value in obs.items()}
    changed = envs.step(np.ones((NUM, 2), np.float32))[0]
    changed["goal_image"][:] = 0
    assert_same(obs, kept)
    assert envs.step(np.ones((NUM, 2), np.float32))[0]["goal_image"].any()


def test_truncates_at_the_registered_limit():
    envs = gym.make_vec(ENV_ID, 2)
    envs.reset(seed=0)
    truncated = [envs.step(np.zeros((2, 2), np.float32))[3].all() for _ in range(101)]
    assert truncated == [False] * 99 + [True, False]


def test_render_gives_a_picture_a_row_with_the_goal():
    envs = make("ours", "NextStep", render_mode="rgb_array", render_size=32)
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert len(frames) == NUM
    green = np.asarray(frames)[..., 1].astype(int) - np.asarray(frames)[..., 0]
    assert (green.max((1, 2)) > 50).all()


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        ({"seed": [1, 2]}, "list of 3"),
        ({"options": {"reset_mask": np.zeros(NUM, bool)}}, "reset_mask"),
        ({"options": {"reset_mask": np.ones(NUM + 1, bool)}}, "reset_mask"),
        ({"options": {"state": [0.0]}}, "6 numbers"),
    ],
)
def test_bad_resets_are_refused(reset, message):
    with pytest.raises(ValueError, match=message):
        make("ours", "Disabled").reset(**reset)


def test_bad_actions_are_refused():
    envs = make("ours", "NextStep")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="shape"):
        envs.step(np.zeros((NUM, 3)))
