"""FastRender and the check of frames: speed, sameness of the picture, and the trap of a context freed late."""

import os
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from worldjepa_envs import FastRender, check_frame

KWARGS = {"render_mode": "rgb_array", "width": 84, "height": 84}


def seconds_per_frame(env: gym.Env, num_frames: int) -> float:
    env.reset(seed=0)
    env.render()
    start = time.process_time()
    for _ in range(num_frames):
        env.render()
    return (time.process_time() - start) / num_frames


@pytest.mark.draws
def test_twice_as_fast_with_shadows_off():
    slow = gym.make("HalfCheetah-v5", **KWARGS)
    default = seconds_per_frame(slow, 5)
    slow.close()
    fast = FastRender(gym.make("HalfCheetah-v5", **KWARGS))
    assert default / seconds_per_frame(fast, 20) > 1.5  # about 20 on a CPU
    fast.close()


@pytest.mark.draws
def test_shows_the_same_scene():
    frames = []
    for wrap in (lambda env: env, FastRender):
        env = wrap(gym.make("Reacher-v5", **KWARGS))
        env.reset(seed=0)
        frames.append(env.render().astype(float))
        env.close()
    assert 0 < np.abs(frames[0] - frames[1]).mean() < 30  # edges and shadows, not another picture


@pytest.mark.draws
def test_frame_survives_a_viewer_freed_late():
    old = gym.make("Reacher-v5", **KWARGS)
    old.reset(seed=0)
    old.render()
    env = FastRender(gym.make("Reacher-v5", **KWARGS))
    env.reset(seed=0)
    before = env.render()
    old.unwrapped.mujoco_renderer.close()  # what garbage collection does; without FastRender frames turn black
    np.testing.assert_array_equal(env.render(), before)
    env.close()


@pytest.mark.draws
def test_environments_may_render_in_turn():
    envs = [FastRender(gym.make(name, **KWARGS)) for name in ("Reacher-v5", "InvertedPendulum-v5")]
    for env in envs:
        env.reset(seed=0)
    first = [env.render() for env in envs]
    for env, frame in zip(envs, first):
        np.testing.assert_array_equal(env.render(), frame)
    assert not np.array_equal(*first)
    for env in envs:
        env.close()


@pytest.mark.draws
def test_viewer_made_before_wrapping_is_made_anew():
    env = gym.make("Reacher-v5", **KWARGS)
    env.reset(seed=0)
    env.render()
    fast = FastRender(env)
    assert fast.render().std() > 0
    assert fast.unwrapped.model.vis.quality.offsamples == 0
    fast.close()


@pytest.mark.draws
def test_own_environments_pass_through():
    env = FastRender(gym.make("worldjepa/Push-v0", render_mode="rgb_array", render_size=32))
    env.reset(seed=0)
    assert env.render().shape == (32, 32, 3)
    env.close()


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="CartPole"):
        FastRender(gym.make("CartPole-v1", render_mode="rgb_array"))


@pytest.mark.parametrize("frame", [np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 7, np.uint8)])
def test_frame_of_one_colour_is_an_error(frame):
    with pytest.raises(RuntimeError, match=r"one colour.*close\(\)"):
        check_frame(frame, "camera")
    frame = frame.copy()
    frame[1, 2] = 255
    assert check_frame(frame) is frame


def test_error_says_what_to_install_when_there_is_no_opengl(repository):
    code = (
        "import gymnasium, worldjepa_envs\n"
        "env = gymnasium.make('worldjepa/Push-v0', obs_type='pixels')\n"
        "try: env.reset(seed=0)\n"
        "except RuntimeError as error: print(error)"
    )
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    folder = repository / "envs"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment)
    assert "MUJOCO_GL" in run.stdout
    assert "libegl1" in run.stdout
