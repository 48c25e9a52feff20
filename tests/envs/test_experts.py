"""Experts as policies: rows apart, recorded noise, and the names of what there is."""

import numpy as np
import pytest
import torch
from tensordict import TensorDict

import worldjepa_envs
from worldjepa_envs.experts import Expert


def observations(num_rows: int) -> TensorDict:
    return TensorDict({"x": torch.arange(num_rows * 2, dtype=torch.float32).reshape(num_rows, 2) / 10}, [num_rows])


def double(obs: dict[str, np.ndarray]) -> np.ndarray:
    return 2 * obs["x"]


def begin(policy: Expert, num_rows: int) -> None:
    policy.reset(torch.ones(num_rows, dtype=torch.bool))


def test_without_noise_it_is_the_law_within_bounds():
    policy = Expert(double)
    begin(policy, 4)
    torch.testing.assert_close(policy.act(observations(4)), (2 * observations(4)["x"]).clamp(-1, 1))


def test_noise_does_not_depend_on_the_other_rows():
    obs = observations(4)
    alone, together = Expert(double, noise=0.1, seed=3), Expert(double, noise=0.1, seed=3)
    begin(together, 4)
    batch = [together.act(obs) for _ in range(3)]
    for row in range(4):
        begin(alone, 1)
        for t in range(3):
            torch.testing.assert_close(alone.act(obs[row : row + 1])[0], batch[t][row])


def test_noise_has_the_asked_size_and_changes_with_the_seed():
    zero = TensorDict({"x": torch.zeros(1, 500)}, [1])
    draws = []
    for seed in (0, 1):
        policy = Expert(double, low=-10, high=10, noise=0.05, seed=seed)
        begin(policy, 1)
        draws.append(policy.act(zero))
    assert draws[0].std().item() == pytest.approx(0.5, rel=0.1)
    assert not torch.equal(*draws)


def test_a_new_episode_draws_anew_only_in_its_row():
    policy, obs = Expert(double, noise=0.1), observations(2)
    begin(policy, 2)
    first = policy.act(obs)
    policy.reset(torch.tensor([True, False]))
    second = policy.act(obs)
    torch.testing.assert_close(second[0], first[0])  # the same start again: the same noise again
    assert not torch.equal(second[1], first[1])


def test_reset_must_name_all_rows():
    policy = Expert(double, noise=0.1)
    with pytest.raises(ValueError, match="reset"):
        policy.act(observations(2))


@pytest.mark.parametrize("name", ["Push", "Reach", "TwoRooms"])
def test_an_expert_that_is_shown_images_only_says_what_it_reads(name):
    policy = worldjepa_envs.expert(f"worldjepa/{name}-v0")
    begin(policy, 1)
    with pytest.raises(ValueError, match=r'reads .*goal.* obs_type="state"'):
        policy.act(TensorDict({"image": torch.zeros(1, 8, 8, 3, dtype=torch.uint8)}, [1]))


def test_unknown_environment_names_those_with_an_expert():
    with pytest.raises(ValueError, match="worldjepa/Push-v0"):
        worldjepa_envs.expert("CartPole-v1")
    with pytest.raises(ValueError, match="worldjepa/PointMaze-<maze>-v0"):
        worldjepa_envs.expert("worldjepa/PushT-v0")
    with pytest.raises(ValueError, match="noise"):
        worldjepa_envs.expert("worldjepa/Push-v0", noise=-1.0)
