"""Tasks: what an environment says of itself, and what is made of its spaces."""

import gymnasium as gym
import numpy as np
import pytest
import tiny_envs
import torch
from gymnasium import spaces

from worldjepa.data.actions import ActionCheck
from worldjepa.data.observations import Observations
from worldjepa.data.task import action_bounds, flat_spaces, task
from worldjepa.types import ObsSpec


def test_an_environment_describes_itself() -> None:
    found = task("tiny/Walk-v0")
    assert (found.score_name, found.path_key, found.hold_key) == ("closeness", "place/x", None)
    assert (found.horizon, found.fps) == (25, 20.0)
    assert found.spec.obs == {"place/x": ObsSpec((1,), "float32"), "time": ObsSpec((1,), "float32")}
    assert found.spec.env == {"env_name": "tiny/Walk-v0", "type": 2, "env_kwargs": {}}


def test_arguments_come_before_what_the_environment_says() -> None:
    found = task(
        "tiny/Walk-v0",
        terminate=False,
        score=lambda env, info: 7.0,
        score_name="seven",
        horizon=3,
        path_key="time",
        success=lambda env, info: False,
    )
    env = found.make()
    _, info = env.reset(seed=0)
    assert found.score is not None
    assert (found.score(env, info), found.score_name, found.path_key) == (7.0, "seven", "time")
    assert not found.need_success()(env, info)
    assert [env.step(env.action_space.sample())[3] for _ in range(3)] == [False, False, True]


def test_an_environment_that_falls_silent_is_named() -> None:
    class Moody(tiny_envs.Walk):
        def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
            return *super().step(action)[:4], {}

    found = task("moody", make=lambda render_mode=None: Moody(), horizon=5)
    env = found.make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"no info\['is_success'\] after a reset or step"):
        found.need_success()(env, env.step(np.zeros(1, np.float32))[4])


def test_observations_keep_images_and_turn_the_rest_to_float32() -> None:
    space = spaces.Dict(
        {
            "eye": spaces.Box(0, 255, (4, 5, 3), np.uint8),
            "arm": spaces.Dict({"q": spaces.Box(-1, 1, (2,), np.float64), "on": spaces.Discrete(2)}),
        }
    )
    reader = Observations(space)
    assert reader.specs == {
        "eye": ObsSpec((4, 5, 3), "uint8"),
        "arm/q": ObsSpec((2,), "float32"),
        "arm/on": ObsSpec((1,), "float32"),
    }
    assert sorted(reader.state_keys) == ["arm/on", "arm/q"]
    raw = {
        "eye": np.full((3, 4, 5, 3), 9, np.uint8),
        "arm": {"q": np.arange(6.0).reshape(3, 2), "on": np.array([0, 1, 0])},
    }
    found = reader.tensordict(reader.arrays(raw))
    assert found.batch_size == torch.Size([3])
    assert found["eye"].dtype == torch.uint8
    assert torch.equal(found["arm", "q"], torch.arange(6, dtype=torch.float32).reshape(3, 2))
    assert found["arm", "on"].tolist() == [[0.0], [1.0], [0.0]]


def test_a_bare_space_gets_a_name() -> None:
    assert list(flat_spaces(spaces.Box(-1, 1, (3,)))) == ["state"]
    assert list(flat_spaces(spaces.Box(0, 255, (8, 8, 3), np.uint8))) == ["image"]
    with pytest.raises(ValueError, match=r"observation 'said' is Text.*wrap the environment"):
        flat_spaces(spaces.Dict({"said": spaces.Text(5)}))


def test_discrete_actions_are_checked() -> None:
    space = gym.spaces.Discrete(3, start=1)
    check, everyone = ActionCheck(space, 2), np.ones(2, dtype=bool)
    assert check.for_env(check(torch.tensor([[1.0], [3.0]]), everyone)).tolist() == [1, 3]
    assert check.for_env(check(torch.tensor([2, 3]), everyone)).tolist() == [2, 3]
    with pytest.raises(ValueError, match="outside the action space"):
        check(torch.tensor([[1.0], [4.0]]), everyone)
    with pytest.raises(ValueError, match="whole numbers"):
        check(torch.tensor([[1.0], [2.5]]), everyone)
    with pytest.raises(ValueError, match="Box or Discrete"):
        action_bounds(spaces.MultiBinary(3))


def test_idle_environments_are_not_judged() -> None:
    check = ActionCheck(spaces.Box(2, 3, (1,), np.float32), 2)
    found = check(torch.tensor([[2.5], [float("nan")]]), np.array([True, False]))
    assert found.tolist() == [[2.5], [2.0]]
    assert check.num_clipped.tolist() == [0, 0]


@pytest.mark.parametrize("high", [1.0, np.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_whatever_the_bounds(high: float, value: float) -> None:
    check = ActionCheck(spaces.Box(-high, high, (2,), np.float32), 2, "clip")
    everyone = np.ones(2, dtype=bool)
    assert check(torch.tensor([[0.5, 0.0], [-1.0, 1.0]]), everyone).tolist() == [[0.5, 0.0], [-1.0, 1.0]]
    with pytest.raises(ValueError, match="in environment 1 is not finite"):
        check(torch.tensor([[0.5, 0.0], [0.0, value]]), everyone)
    if np.isfinite(high):
        assert check(torch.tensor([[0.5, -7.0], [1.0 + 1e-6, 0.0]]), everyone).tolist() == [[0.5, -1.0], [1.0, 0.0]]
        assert check.num_clipped.tolist() == [1, 0]
