"""A world model learned from random play reaches goals it never saw, which the floors do not."""

import pytest
import torch
from point_world import SPEC, SPEED, point_statistics
from tensordict import TensorDict
from toys import train

from worldjepa.data.task import task
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.rollout import evaluate
from worldjepa.learner import Learner
from worldjepa.plan import CEM
from worldjepa.recipes import ac_jepa, make_learner
from worldjepa_policies.amortised import InverseDynamicsPolicy
from worldjepa_policies.copy_latent import CopyLatentPolicy
from worldjepa_policies.mpc import MPCPolicy

CONFIG = ac_jepa.Config(
    state_keys=("place/x",),
    stride=2,
    horizon=5,
    dim=16,
    state_dim=32,
    state_hidden=32,
    predictor_layers=1,
    ffn_dim=64,
    sigreg=0.1,
    inverse=1.0,
)


def play(rows: int, seed: int) -> TensorDict:
    """Windows of random play: 5 blocks of 2 actions, held for a while."""
    generator = torch.Generator().manual_seed(seed)
    action = (torch.rand(rows, 5, 1, 2, generator=generator) * 2 - 1) + 0.3 * torch.randn(
        rows, 5, 2, 2, generator=generator
    )
    action = action.clamp(-1, 1)
    begin = torch.rand(rows, 1, 2, generator=generator) * 3 - 1.5
    place = torch.cat([begin, begin + SPEED * action.sum(2).cumsum(1)], 1).clamp(-2, 2)
    batch = TensorDict({"obs": TensorDict({"place": TensorDict({"x": place}, [rows, 6])}, [rows])}, [rows])
    batch["action"] = action.flatten(2)
    batch["valid"] = torch.ones(rows, 6, dtype=torch.bool)
    batch["action_valid"] = torch.ones(rows, 5, dtype=torch.bool)
    return batch


@pytest.fixture(scope="module")
def learner() -> Learner:
    torch.manual_seed(0)
    fresh = make_learner("ac_jepa", CONFIG, SPEC, point_statistics())
    train(fresh, [play(64, seed) for seed in range(100)], lr=3e-3)
    return fresh.eval()


def test_searching_and_inverse_dynamics_reach_goals_and_copying_does_not(learner) -> None:
    world = task("tiny/Point-v0")
    starts = make_manifest(world, 12, seed=1)
    planner = CEM(num_samples=64, iterations=4, num_elites=8)
    rates = {
        name: evaluate(policy, world, starts, num_envs=5).rate.estimate
        for name, policy in {
            "mpc": MPCPolicy(learner, planner, execute=2),
            "copy": CopyLatentPolicy(learner, planner, execute=2),
            "inverse": InverseDynamicsPolicy(learner),
        }.items()
    }
    assert rates["mpc"] >= 0.9
    assert rates["inverse"] >= 0.8
    assert rates["copy"] <= 0.4
