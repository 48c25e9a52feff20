"""The no-op policy."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from worldjepa.types import Policy
from worldjepa_policies.noop import NoopPolicy

BOX = gym.spaces.Box(np.array([-1.0, 3.0], dtype=np.float32), np.array([1.0, 5.0], dtype=np.float32))


def obs(*place: float) -> TensorDict:
    return TensorDict({"arm": {"place": torch.tensor([place])}}, batch_size=[1])


def test_it_asks_for_nothing() -> None:
    policy = NoopPolicy(BOX)
    assert isinstance(policy, Policy)
    assert policy.act(obs(0.5, 4.5)).tolist() == [[0.0, 3.0]], "the bound next to zero where the space has no zero"
    assert NoopPolicy(gym.spaces.Discrete(3, start=-1)).act(obs(0.0)).tolist() == [[0]]
    with pytest.raises(ValueError, match="Box or Discrete"):
        NoopPolicy(gym.spaces.MultiBinary(2))


def test_under_position_control_it_gives_back_where_it_is() -> None:
    assert NoopPolicy(BOX, hold_key="arm/place").act(obs(0.5, 4.5)).tolist() == [[0.5, 4.5]]
