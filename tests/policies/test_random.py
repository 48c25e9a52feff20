"""The random policy."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from worldjepa.types import Policy
from worldjepa_policies.random import RandomPolicy


def act(policy: RandomPolicy, num: int) -> torch.Tensor:
    return policy.act(TensorDict({}, batch_size=[num]))


def test_actions_fill_the_space() -> None:
    space = gym.spaces.Box(np.array([-1.0, 4.0], np.float32), np.array([1.0, 6.0], np.float32))
    policy = RandomPolicy(space)
    assert isinstance(policy, Policy)
    drawn = torch.cat([act(policy, 4) for _ in range(200)])
    assert drawn.shape == (800, 2)
    assert torch.allclose(drawn.mean(0), torch.tensor([0.0, 5.0]), atol=0.1)
    assert torch.allclose(drawn.std(0), torch.full((2,), 2 / 12**0.5), atol=0.05)
    assert space.contains(drawn[0].numpy())


def test_a_row_depends_on_its_seed_alone() -> None:
    space = gym.spaces.Box(-1, 1, (3,), np.float32)
    alone, beside = RandomPolicy(space), RandomPolicy(space)
    alone.seed(0, 7)
    beside.seed(2, 7)
    for _ in range(3):
        assert torch.equal(act(alone, 1)[0], act(beside, 4)[2])
    rows = act(RandomPolicy(space), 5)
    assert len({tuple(row.tolist()) for row in rows}) == 5, "unseeded rows differ as well"


def test_discrete_actions_are_whole_numbers() -> None:
    policy = RandomPolicy(gym.spaces.Discrete(3, start=5))
    assert {int(x) for _ in range(50) for x in act(policy, 2).flatten()} == {5, 6, 7}


def test_a_held_action_is_kept_and_drawn_anew_with_each_episode() -> None:
    space = gym.spaces.Box(-1, 1, (3,), np.float32)
    held, plain = RandomPolicy(space, hold=3), RandomPolicy(space)
    rows = torch.stack([act(held, 2) for _ in range(7)])
    drawn = torch.stack([act(plain, 2) for _ in range(3)])
    assert torch.equal(rows, drawn[[0, 0, 0, 1, 1, 1, 2]])
    held.reset(torch.tensor([True, False]))
    after = act(held, 2)
    assert not torch.equal(after[0], rows[-1, 0]), "the first row begins a new episode"
    assert torch.equal(after[1], rows[-1, 1])
    with pytest.raises(ValueError, match="at least 1 step"):
        RandomPolicy(space, hold=0)
