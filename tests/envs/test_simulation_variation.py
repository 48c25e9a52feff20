"""Push and Reach with factors of variation: each changes what it says and nothing else, and is undone afterwards."""

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import worldjepa_envs  # noqa: F401  (registers)

PUSH = [-0.2, 0.0, -0.1, 0.0, 0.0]
LOOKS: dict[str, dict[str, Any]] = {
    "Push": {"agent_color": (20, 40, 90), "block_color": (140, 10, 10), "background_color": (255, 255, 255)},
    "Reach": {"agent_color": (20, 40, 90), "arm_color": (140, 10, 10), "background_color": (255, 255, 255)},
}
for _looks in LOOKS.values():
    _looks.update(camera_shift=(0.05, 0.0, 0.0), distractor=1)
LOOKS["Push"].update(block_shape=1)  # pushed in the middle of its back it moves as a T does
LOOKS["Reach"].update(agent_shape=1, arm_shape=1)
SHAPES = {"Push": {"agent_shape": 1, "block_shape": 2}, "Reach": {"agent_shape": 1, "arm_shape": 1}}
PHYSICS = {
    "Push": {"block_size": 1.25, "agent_size": 1.5, "block_mass": 4.0, "table_friction": 8.0},
    "Reach": {"arm_mass": 3.0, "joint_friction": 10.0},
}


def make(name: str, **kwargs: Any) -> Any:
    return gym.make(f"worldjepa/{name}-v0", image_size=48, **kwargs).unwrapped


def episode(env: Any, variation=None, num_steps: int = 12) -> dict[str, np.ndarray]:
    """Observations of an episode that pushes (or turns) at full speed and stops 4 steps before its end."""
    options = {"variation": variation, **({"state": PUSH} if "pusher" in env.path_key else {})}
    seen = [env.reset(seed=1, options=options)[0]]
    seen += [env.step(np.array([float(t < num_steps - 4), 0.0], np.float32))[0] for t in range(num_steps)]
    return {key: np.array([obs[key] for obs in seen]) for key in seen[0]}


@pytest.mark.draws
@pytest.mark.parametrize(("name", "factor"), [(name, factor) for name in LOOKS for factor in LOOKS[name]])
def test_looks_change_the_image_and_nothing_else(name, factor):
    env = make(name, obs_type="state+pixels", goal_obs=True)
    plain, varied = episode(env), episode(env, {factor: LOOKS[name][factor]})
    for key in plain:
        if "image" not in key:
            np.testing.assert_array_equal(plain[key], varied[key])
    assert (plain["image"] != varied["image"]).any((1, 2, 3)).all()
    assert (plain["goal_image"] != varied["goal_image"]).any()
    env.close()


@pytest.mark.draws
def test_colours_are_those_asked_for():
    env = make("Push", obs_type="pixels")
    image = episode(env, {"agent_color": (255, 0, 0), "block_color": (0, 255, 0)}, 0)["image"][0].astype(int)
    red = np.argwhere((image[..., 0] > 120) & (image[..., 1] < 40))
    green = np.argwhere((image[..., 1] > 120) & (image[..., 0] < 40))
    assert 2 <= len(red) < len(green)
    assert red[:, 1].mean() < green[:, 1].mean()  # the finger is left of the block
    env.close()


@pytest.mark.parametrize(("name", "factor"), [(name, factor) for name in PHYSICS for factor in PHYSICS[name]])
def test_physics_change_the_motion_and_not_the_start(name, factor):
    env = make(name)
    plain, varied = episode(env), episode(env, {factor: PHYSICS[name][factor]})
    assert all((plain[key][0] == varied[key][0]).all() for key in plain)
    moved = {"Push": "block", "Reach": "fingertip"}[name]
    assert np.abs(plain[moved] - varied[moved]).max() > 0.003


@pytest.mark.parametrize(("factor", "value", "reach"), [("agent_size", 1.5, 0.07), ("block_size", 1.25, 0.07)])
def test_a_larger_finger_or_block_touches_from_farther_off(factor, value, reach):
    varied = episode(make("Push"), {factor: value}, 15)
    assert varied["block"][-5, 0] - varied["pusher"][-5, 0] == pytest.approx(reach, abs=0.005)


def finger_reach(env: Any, angle: float) -> float:
    """How far the finger reaches towards the back of a block at ``angle``."""
    return 0.02 * (abs(np.cos(angle)) + abs(np.sin(angle)) if env.variation["agent_shape"] else 1.0)


@pytest.mark.parametrize("shape", [0, 1])
def test_a_box_touches_a_turned_block_with_its_corner(shape):
    env = make("Push")
    env.reset(seed=1, options={"state": [-0.2, -0.03, 0.0, 0.0, np.pi / 4], "variation": {"agent_shape": shape}})
    obs = [env.step(np.array([0.5, 0.0], np.float32))[0] for _ in range(18)][-1]
    assert obs["block"][0] > 0.005  # it is pushed
    cos, sin = obs["block"][2:]
    gap = (obs["block"][:2] - obs["pusher"]) @ [cos, sin]
    assert gap == pytest.approx(0.04 + finger_reach(env, np.arctan2(sin, cos)), abs=0.002)


@pytest.mark.parametrize(("shape", "touched_at"), [(0, -0.044), (1, 0.042), (2, -0.13)])
def test_the_stem_is_touched_where_it_is(shape, touched_at):
    env = make("Push")
    state = [-0.02, -0.2, -0.1, 0.0, 0.0]  # beside the stem's end, to go across it
    obs, _ = env.reset(seed=1, options={"state": state, "variation": {"block_shape": shape}})
    while abs(obs["block"][3]) < 1e-4:
        before, obs = obs, env.step(np.array([0.0, 0.5], np.float32))[0]
    assert before["pusher"][1] - 0.003 <= touched_at <= obs["pusher"][1] + 0.003


def test_goals_with_boxes_touch_and_press_nothing():
    env = make("Push", goal_obs=True)
    for seed in range(10):
        obs, _ = env.reset(seed=seed, options={"variation": SHAPES["Push"]})
        cos, sin = obs["goal_block"][2:]
        angle = np.arctan2(sin, cos)
        gap = (obs["goal_block"][:2] - obs["goal_pusher"]) @ [cos, sin]
        assert gap == pytest.approx(0.04 + finger_reach(env, angle), abs=1e-6)
        there = [*obs["goal_pusher"], *obs["goal_block"][:2], angle]
        placed, _ = env.reset(seed=seed, options={"state": there, "variation": SHAPES["Push"]})
        for _ in range(3):
            after = env.step(np.zeros(2, np.float32))[0]
        np.testing.assert_allclose(after["block"], placed["block"], atol=2e-3)


def test_starts_are_the_same_whatever_varies():
    for name in ("Push", "Reach"):
        first, second = make(name), make(name, variation="all")
        for seed in (0, None, None):
            start, varied = first.reset(seed=seed)[0], second.reset(seed=seed)[0]
            assert all((start[key] == varied[key]).all() for key in start)
        assert first.variation != second.variation


@pytest.mark.draws
@pytest.mark.parametrize(
    ("name", "variation"), [("Push", "all"), ("Reach", "all"), *((name, SHAPES[name]) for name in SHAPES)]
)
def test_the_next_episode_is_as_if_nothing_had_varied(name, variation):
    env, fresh = make(name, obs_type="state+pixels"), make(name, obs_type="state+pixels")
    episode(env, variation)
    after, before = episode(env), episode(fresh)
    assert all((after[key] == before[key]).all() for key in before)
    env.close()
    fresh.close()


@pytest.mark.draws
@pytest.mark.parametrize("wide", [1.0, 1.6])
def test_the_fingertip_is_seen_on_arms_of_boxes(wide):
    env = make("Reach", obs_type="pixels")
    bright = {"agent_color": (255, 0, 0), "arm_color": (0, 0, 255), "arm_width": wide}
    seen = []
    for shape in (0, 1):
        shapes = {"agent_shape": shape, "arm_shape": shape}
        image = episode(env, {**bright, **shapes}, 0)["image"][0].astype(int)
        seen.append(int((image[..., 0] > image[..., 1:].max(-1) + 60).sum()))
    assert min(seen) >= 3
    env.close()


@pytest.mark.draws
def test_same_seed_same_variation_and_noise():
    env, other = (make("Push", obs_type="pixels", variation="all", distractor=True) for _ in range(2))
    other.reset(seed=9)
    np.testing.assert_array_equal(episode(env, "all")["image"], episode(other, "all")["image"])
    assert env.variation == other.variation
    env.close()
    other.close()


@pytest.mark.draws
def test_the_distractor_flickers_on_the_edge_only():
    env = make("Push", obs_type="pixels", distractor=True, goal_obs=True)
    plain = make("Push", obs_type="pixels", goal_obs=True)
    noisy = [env.reset(seed=0)[0]] + [env.step(np.zeros(2))[0] for _ in range(3)]
    clean = plain.reset(seed=0)[0]
    for before, after in pairwise(noisy):
        assert (before["image"] != after["image"]).any(-1)[0].mean() > 0.9
        np.testing.assert_array_equal(after["goal_image"], noisy[0]["goal_image"])
    np.testing.assert_array_equal(noisy[0]["image"][2:-2, 2:-2], clean["image"][2:-2, 2:-2])
    np.testing.assert_array_equal(noisy[0]["goal_image"][2:-2, 2:-2], clean["goal_image"][2:-2, 2:-2])
    env.close()
    plain.close()


def test_goals_are_solved_states_in_all_variations():
    env = make("Push", goal_obs=True, random_goal=False)
    for seed in range(10):
        obs, _ = env.reset(seed=seed, options={"variation": "all"})
        gap = np.linalg.norm(obs["goal_block"][:2] - obs["goal_pusher"])
        assert gap == pytest.approx(0.04 * env.variation["block_size"] + 0.02 * env.variation["agent_size"], abs=1e-6)
        np.testing.assert_allclose(obs["goal_block"], obs["goal"])


@pytest.mark.parametrize("name", ["Push", "Reach"])
def test_factors_are_described_and_others_refused(name):
    env = make(name)
    assert {*LOOKS[name], *PHYSICS[name], *SHAPES[name]} <= set(env.variations)
    assert env.variation["distractor"] == 0
    for factor, space in env.variations.items():
        assert space.contains(np.asarray(env.variation[factor], space.dtype)), factor
    with pytest.raises(ValueError, match="there are agent_color"):
        env.reset(options={"variation": ["gravity"]})
    with pytest.raises(ValueError, match="camera_shift"):
        make(name, variation={"camera_shift": (1.0, 0.0, 0.0)})
