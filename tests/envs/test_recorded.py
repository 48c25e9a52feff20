"""Goals from recordings: the seed says which, and nothing else is changed."""

import gymnasium as gym
import numpy as np
import pytest

from worldjepa.data.task import task
from worldjepa.evaluate.manifest import make_manifest
from worldjepa_envs.recorded import RecordedGoals


class Line(gym.Env):
    """A point that starts at a state and must come to a goal."""

    observation_space = gym.spaces.Dict(
        {"x": gym.spaces.Box(-100, 100, (1,)), "goal_x": gym.spaces.Box(-100, 100, (1,))}
    )
    action_space = gym.spaces.Box(-1, 1, (1,))
    noise = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        assert options is not None
        self.x, self.goal, self.noise = options["state"].copy(), options["goal"].copy(), self.np_random.random()
        return self.look()

    def look(self):
        obs = {"x": np.float32(self.x), "goal_x": np.float32(self.goal)}
        return obs, {"is_success": bool(abs(self.x - self.goal) < 0.5)}


STARTS = np.arange(40.0)[:, None]
GOALS = STARTS + np.where(np.arange(40) % 4 == 0, 0.0, 5.0)[:, None]


def make(render_mode=None):
    return RecordedGoals(Line(), STARTS, GOALS)


def test_the_seed_chooses_the_pair_and_reaches_the_environment():
    env, other = make(), make()
    inner, twin = env.unwrapped, other.unwrapped
    assert isinstance(inner, Line)
    assert isinstance(twin, Line)
    seen = set()
    for seed in range(60):
        obs = env.reset(seed=seed)[0]
        again = other.reset(seed=seed)[0]
        assert obs["x"] == again["x"]
        assert inner.noise == twin.noise
        assert obs["goal_x"][0] == GOALS[int(obs["x"][0])]
        seen.add(float(obs["x"][0]))
    assert len(seen) > 25
    assert len({float(env.reset()[0]["x"][0]) for _ in range(20)}) > 5


def test_a_manifest_remembers_goals_and_drops_what_is_solved():
    manifest = make_manifest(task("Line", make=make, horizon=9), 20, seed=0)
    assert manifest.dropped
    assert all(start["goal_x"][0] - start["x"][0] == 5.0 for start in manifest.starts)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        RecordedGoals(Line(), STARTS, GOALS[1:])
    with pytest.raises(ValueError, match="one shape"):
        RecordedGoals(Line(), STARTS[:0], GOALS[:0])
    with pytest.raises(ValueError, match="those of the recording"):
        make().reset(seed=0, options={"goal": GOALS[0]})
