"""TwoRooms with factors of variation: each changes what it says and nothing else."""

import gymnasium as gym
import numpy as np
import pytest

from worldjepa_envs.rooms_factors import FACTORS
from worldjepa_envs.two_rooms import TwoRoomsEnv

ENV_ID = "worldjepa/TwoRooms-v0"
LOOKS = {
    "agent_color": (20, 40, 200),
    "background_color": (255, 255, 255),
    "wall_color": (120, 0, 0),
    "agent_shape": 1,
    "camera_shift": (0.1, -0.05),
    "distractor": 1,
}


def start(variation=None, **options):
    env = TwoRoomsEnv(obs_type="state+pixels", goal_obs=True)
    obs, _ = env.reset(seed=1, options={"variation": variation, **options})
    return env, obs


def changed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two images differ [rows, columns]."""
    return (first != second).any(-1)


def dot_pixels(obs: dict[str, np.ndarray], reach: float) -> np.ndarray:
    """The pixels within ``reach`` of the dot on both axes."""
    centre = (np.arange(64) + 0.5) / 28 - 32 / 28
    x, y = obs["agent"]
    return (np.abs(-centre - y) < reach)[:, None] & (np.abs(centre - x) < reach)[None]


@pytest.mark.parametrize("name", LOOKS)
def test_looks_change_the_image_and_nothing_else(name):
    (plain_env, plain), (env, obs) = start(), start({name: LOOKS[name]})
    assert env.variation == {**plain_env.variation, name: LOOKS[name]}
    for _ in range(5):
        assert changed(plain["image"], obs["image"]).any()
        for key in ("agent", "goal", "layout", "goal_agent"):
            np.testing.assert_array_equal(plain[key], obs[key])
        (plain, *rest), (obs, *other) = (e.step(np.array([0.4, -0.9], np.float32)) for e in (plain_env, env))
        assert rest == other


def test_each_look_changes_its_own_pixels():
    _, plain = start()
    frame = np.ones((64, 64), bool)
    frame[4:60, 4:60] = False
    dot = dot_pixels(plain, 0.15)
    differ = {name: changed(plain["image"], start({name: value})[1]["image"]) for name, value in LOOKS.items()}
    assert not differ["agent_color"][~dot].any()
    assert not differ["agent_shape"][~dot].any()
    assert not differ["distractor"][~frame].any()
    assert differ["distractor"][frame].mean() > 0.95
    assert differ["wall_color"][frame].all()
    assert not differ["background_color"][frame].any()
    assert not (differ["wall_color"] & differ["background_color"])[~dot].all()


@pytest.mark.parametrize("pixels", [(2, 0), (0, 2), (-2, 1)])
def test_the_camera_moves_over_the_square(pixels):
    right, up = pixels
    _, plain = start()
    env, obs = start({"camera_shift": (right / 28, up / 28)})  # 28 pixels a half side
    assert env.variation["camera_shift"] == (right / 28, up / 28)
    for key in ("image", "goal_image"):
        wide = np.pad(plain[key].astype(int), ((2, 2), (2, 2), (0, 0)), "edge")  # all walls out there
        seen = wide[2 - up : 66 - up, 2 + right : 66 + right]
        assert np.abs(seen - obs[key]).max() <= 1  # of rounding


@pytest.mark.parametrize("shift", [(0.1, 0.1), (-0.1, -0.1)])
def test_all_of_the_square_stays_in_view(shift):
    env = TwoRoomsEnv(obs_type="pixels", variation={"camera_shift": shift, "agent_radius": 0.06})
    for corner in ((0.94, 0.94), (-0.94, -0.94)):
        image = env.reset(options={"state": [*corner, 0.0, 0.0, 0.0, 0.0]})[0]["image"].astype(int)
        dot = (image[..., 0] - image[..., 2] > 100).sum() / 28**2
        assert dot == pytest.approx(np.pi * 0.06**2, rel=0.35)  # but for its pale edge


def test_size_and_shape_are_drawn():
    def area(variation) -> float:
        black = {"background_color": (0, 0, 0), "wall_color": (0, 0, 0)}
        image = start({**variation, **black, "agent_color": (255, 0, 0)})[1]["image"]
        return image[..., 0].sum() / 255 / 28**2

    assert area({}) == pytest.approx(np.pi * 0.1**2, rel=0.1)
    assert area({"agent_radius": 0.14}) == pytest.approx(np.pi * 0.14**2, rel=0.1)
    assert area({"agent_shape": 1}) == pytest.approx(0.2**2, rel=0.1)


def test_speed_and_size_are_felt():
    state = [-0.5, 0.6, 0.5, 0.5, 0.0, 0.0]
    env, _ = start({"agent_speed": 0.04}, state=state)
    assert env.step(np.array([1.0, 0.0]))[0]["agent"][0] == pytest.approx(-0.46)
    env, _ = start({"agent_radius": 0.14, "wall_width": 0.1}, state=state)
    for _ in range(10):
        obs = env.step(np.array([1.0, 1.0]))[0]
    np.testing.assert_allclose(obs["agent"], [-0.24, 0.86], atol=1e-6)


def test_a_narrow_door_stops_a_large_dot_and_starts_are_free():
    for seed in range(100):
        env = TwoRoomsEnv(variation="all")
        obs, info = env.reset(seed=seed)
        x, _ = obs["agent"]
        room = env.variation["wall_width"] + env.variation["agent_radius"]
        assert abs(x - obs["layout"][0]) >= room - 1e-6
        assert np.abs(obs["agent"]).max() <= 1 - env.variation["agent_radius"] + 1e-6
        assert not info["is_success"]


def test_an_episode_may_vary_and_the_next_is_as_before():
    env, plain = TwoRoomsEnv(obs_type="pixels"), TwoRoomsEnv(obs_type="pixels")
    env.reset(seed=4, options={"variation": "all"})
    np.testing.assert_array_equal(env.reset(seed=4)[0]["image"], plain.reset(seed=4)[0]["image"])


def test_the_distractor_flickers_at_every_step_as_its_seed_says():
    episodes = []
    for _ in range(2):
        env = TwoRoomsEnv(obs_type="pixels", distractor=True, goal_obs=True)
        images = [env.reset(seed=2)[0]] + [env.step(np.zeros(2))[0] for _ in range(5)]
        episodes.append(np.array([obs["image"] for obs in images]))
        assert all((obs["goal_image"] == images[0]["goal_image"]).all() for obs in images)
    np.testing.assert_array_equal(*episodes)
    for before, after in zip(episodes[0], episodes[0][1:]):
        assert changed(before, after)[0].mean() > 0.9
        assert not changed(before, after)[4:60, 4:60].any()


def test_many_at_once_vary_as_one_does():
    kwargs = {"obs_type": "state+pixels", "goal_obs": True, "variation": "all", "start_distance": (0.4, 0.8)}
    kwargs |= {"render_mode": "rgb_array", "render_size": 48}
    ours = gym.make_vec(ENV_ID, 4, **kwargs)
    theirs = gym.make_vec(ENV_ID, 4, vectorization_mode="sync", **kwargs)
    first, second = ours.reset(seed=4)[0], theirs.reset(seed=4)[0]
    actions = np.random.default_rng(0).uniform(-1, 1, (130, 4, 2)).astype(np.float32)
    seen = set()
    for action in actions:
        seen |= {values["distractor"] for values in ours.unwrapped.variation}
        assert all((first[key] == second[key]).all() for key in second)
        first, second = ours.step(action)[0], theirs.step(action)[0]
    np.testing.assert_array_equal(ours.render(), theirs.render())
    assert ours.unwrapped.variation == list(theirs.get_attr("variation"))
    assert seen == {0, 1}


def test_factors_are_described_and_others_refused():
    env = gym.make(ENV_ID)
    assert env.unwrapped.variations == FACTORS.spaces
    assert {"agent_color", "distractor", "agent_speed"} <= set(FACTORS.spaces)
    with pytest.raises(ValueError, match="agent_color"):
        env.reset(options={"variation": {"agent_colour": (0, 0, 0)}})
    with pytest.raises(ValueError, match="agent_speed"):
        gym.make(ENV_ID, variation={"agent_speed": 3.0})
