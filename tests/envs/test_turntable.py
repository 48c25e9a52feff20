"""Turntable: the Gymnasium contract, determinism, what an action does, options, goals, and the views that are drawn."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.spatial.transform import Rotation
from tensordict import TensorDict

import worldjepa_envs
from worldjepa.commands.tasks import find_policy
from worldjepa.data.task import task
from worldjepa_envs.turntable import TurntableEnv
from worldjepa_envs.turntable_objects import CLASSES

ENV_ID = "worldjepa/Turntable-v0"
STILL = np.array([0, 0, 0, 1, 0, 0], np.float32)


def make(**kwargs) -> gym.Env:
    return gym.make(ENV_ID, **{"obs_type": "state", **kwargs})


def turned(obs: dict[str, np.ndarray]) -> Rotation:
    return Rotation.from_quat(obs["rotation"])


@pytest.mark.draws
@pytest.mark.parametrize("kwargs", [{"obs_type": "state"}, {"obs_type": "pixels", "goal_obs": True}, {}])
def test_gymnasium_checker_finds_nothing(kwargs):
    env = gym.make(ENV_ID, image_size=32, render_mode="rgb_array", render_size=48, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_every_key_of_a_view_set_is_observed():
    space = gym.make(ENV_ID).observation_space
    assert set(space) == {"image", "rotation", "floor_hue", "light_hue", "label", "object"}
    assert space["image"].shape == (64, 64, 3)


@pytest.mark.draws
def test_an_episode_depends_on_its_seed_alone():
    env, other = gym.make(ENV_ID, image_size=32), gym.make(ENV_ID, image_size=32)
    other.reset(seed=99)
    other.step(STILL)
    actions = [env.action_space.sample() for _ in range(3)]
    first, second = ([e.reset(seed=5)[0], *[e.step(a)[0] for a in actions]] for e in (env, other))
    assert all((a[key] == b[key]).all() for a, b in zip(first, second) for key in a)
    env.close()
    other.close()


def test_labels_come_in_turn_and_objects_differ():
    env = make()
    in_turn = [env.reset(seed=40)[0], *[env.reset()[0] for _ in range(39)]]
    assert [int(obs["label"][0]) for obs in in_turn] == [*range(20), *range(20)]
    seeded = [env.reset(seed=seed)[0] for seed in range(20)]
    assert sorted(int(obs["label"][0]) for obs in seeded) == list(range(20))
    assert len({float(obs["object"][0]) for obs in in_turn + seeded}) == 60


def test_label_and_object_stay_and_the_action_is_the_way_between_rotations():
    env = make()
    obs, info = env.reset(seed=3)
    assert info == {}
    generator = np.random.default_rng(0)
    for _ in range(20):
        action = generator.uniform(-1, 1, 6)
        following, reward, terminated, _, info = env.step(action)
        expected = turned(obs) * Rotation.from_quat(action[:4])  # R_t+1 = R_t q
        assert (turned(following).inv() * expected).magnitude() < 1e-6
        np.testing.assert_allclose(np.linalg.norm(following["rotation"]), 1.0, atol=1e-6)
        for key, change in zip(("floor_hue", "light_hue"), action[4:]):
            assert following[key][0] == pytest.approx(np.clip(obs[key][0] + change, 0, 1), abs=1e-6)
        assert following["rotation"][3] >= 0
        assert (following["label"], following["object"]) == (obs["label"], obs["object"])
        assert (reward, terminated, info) == (0.0, False, {})
        assert env.observation_space.contains(following)
        obs = following


def test_a_quaternion_is_scaled_and_its_sign_and_nothing_do_not_matter():
    env = make()
    start = env.reset(seed=1)[0]
    action = np.array([0.1, -0.2, 0.3, 0.5, 0.0, 0.0])
    ends = []
    for factor in (1.0, 0.01, -2.0):
        env.reset(seed=1)
        ends.append(env.step(np.concatenate([factor * action[:4], [0, 0]]))[0]["rotation"])
    np.testing.assert_allclose(ends[1:], [ends[0]] * 2, atol=1e-6)
    env.reset(seed=1)
    still = make(goal_obs=True).reset(seed=0)[0]["hold"]
    np.testing.assert_allclose(env.step(still)[0]["rotation"], start["rotation"], atol=1e-6)


@pytest.mark.parametrize(
    ("action", "message"), [(np.zeros(6), "zero"), (np.full(6, np.nan), "finite"), (STILL[:5], "shape")]
)
def test_bad_actions_are_refused(action, message):
    env = make().unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_options_fix_what_they_name_and_leave_the_rest():
    env = make()
    plain = env.reset(seed=7)[0]
    rotation = Rotation.from_euler("xyz", [0.3, -0.2, 2.0]).as_quat()
    fixed = env.reset(seed=7, options={"rotation": -rotation, "light_hue": 0.25})[0]
    np.testing.assert_allclose(fixed["rotation"], rotation, atol=1e-6)
    assert fixed["light_hue"] == 0.25
    assert all(fixed[key] == plain[key] for key in ("label", "object", "floor_hue"))
    named = env.reset(seed=7, options={"label": "mug", "object": 5})[0]
    assert (named["label"], named["object"]) == (list(CLASSES).index("mug"), 5)
    np.testing.assert_array_equal(named["rotation"], plain["rotation"])


@pytest.mark.parametrize(
    "options",
    [
        {"label": "spoon"},
        {"label": 20},
        {"object": -1},
        {"object": 1.5},
        {"rotation": [0, 0, 0, 2]},
        {"light_hue": 1.1},
        {"state": 1},
    ],
)
def test_unknown_options_of_a_reset_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make().reset(seed=0, options=options)


def test_classes_and_objects_are_chosen():
    env = make(classes=["mug", "chair"], objects=[100, 110])
    seen = [env.reset(seed=seed)[0] for seed in range(40)]
    assert {int(obs["label"][0]) for obs in seen} == {0, 1}
    assert {int(obs["object"][0]) for obs in seen} <= set(range(100, 110))
    assert env.unwrapped.classes == ("mug", "chair")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"obs_type": "depth"}, "obs_type"),
        ({"image_size": 0}, "image_size"),
        ({"render_mode": "ansi"}, "render_mode"),
        ({"rotations": "all"}, "inside, outside, near"),
        ({"classes": ["mug", "spoon"]}, "teapot"),
        ({"objects": (5, 5)}, "objects"),
        ({"meshes": "nowhere"}, "sub-folder"),
    ],
)
def test_unknown_options_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TurntableEnv(**kwargs)


@pytest.mark.parametrize(("rotations", "inside"), [("inside", True), ("outside", False)])
def test_starts_and_views_are_in_the_set_asked_for(rotations, inside):
    found = shown_angles(make(rotations=rotations), worldjepa_envs.expert(ENV_ID), episodes=10, steps=20)
    assert ((np.abs(found) <= np.pi / 2 + 1e-4).all(1) == inside).all()
    limit = np.pi / 2 if inside else np.pi
    assert np.abs(found[:, 0]).max() > 0.95 * limit
    assert np.abs(found.mean(0)).max() < 0.15 * limit


@pytest.mark.parametrize(("name", "kwargs"), [("worldjepa/TurntableNear-v0", {}), (ENV_ID, {"rotations": "near"})])
def test_near_views_are_turned_by_at_most_45_degrees(name, kwargs):
    views = task(name, obs_type="state", **kwargs)
    angles = shown_angles(views.make(), find_policy("expert", views)[1], episodes=5, steps=40)
    assert 0.98 * np.pi / 4 < np.abs(angles).max() <= np.pi / 4 + 1e-4


def shown_angles(env: gym.Env, policy, *, episodes: int, steps: int) -> np.ndarray:
    """Euler angles [episodes * steps, 3] of the views that a policy is shown."""
    angles = []
    for seed in range(episodes):
        obs = env.reset(seed=seed)[0]
        policy.reset(torch.ones(1, dtype=torch.bool))
        for _ in range(steps):
            angles.append(turned(obs).as_euler("xyz"))
            obs = env.step(policy.act(batch(obs))[0].numpy())[0]
    return np.array(angles)


def batch(obs: dict[str, np.ndarray]) -> TensorDict:
    return TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])


def test_a_goal_is_another_view_and_is_reached_within_ten_degrees():
    env, policy = make(goal_obs=True), worldjepa_envs.expert(ENV_ID)
    plain = make()
    for seed in range(10):
        obs, info = env.reset(seed=seed)
        assert all((value == obs[key]).all() for key, value in plain.reset(seed=seed)[0].items())
        assert info == {"is_success": False, "score": 0.0}
        assert (obs["goal_object"], obs["goal_light_hue"]) == (obs["object"], obs["light_hue"])
        goal = Rotation.from_quat(obs["goal_rotation"])
        for degrees, solved in ((10.5, False), (9.5, True)):
            env.reset(seed=seed)
            to_goal = turned(obs).inv() * goal * Rotation.from_rotvec(np.radians([0, degrees, 0]))
            _, reward, terminated, _, info = env.step(np.array([*to_goal.as_quat(), 0, 0]))
            assert (info["is_success"], terminated) == (solved, solved)
            assert reward == pytest.approx(info["score"] + solved)
        env.reset(seed=seed)
        policy.reset(torch.ones(1, dtype=torch.bool))
        obs, *_, info = env.step(policy.act(batch(obs))[0].numpy())
        assert info["is_success"]
        np.testing.assert_allclose(obs["rotation"], obs["goal_rotation"], atol=1e-6)
