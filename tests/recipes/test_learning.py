"""Learning: on a deterministic toy system the policy imitates, and predicted latents beat copying by far."""

import math
from dataclasses import replace

import torch
from tensordict import TensorDict
from torch import Tensor
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.objectives import copy_ratio
from worldjepa.recipes import act_jepa, make_learner
from worldjepa.types import DataSpec, ObsSpec

SPEC = DataSpec({"state": ObsSpec((2,), "float32")}, action_dim=2)
CONFIG = act_jepa.Config(
    chunk=8,
    horizon=8,
    dim=32,
    num_heads=2,
    ffn_dim=64,
    encoder_layers=1,
    predictor_dim=32,
    predictor_layers=1,
    dropout=0.0,
    norm="pre",
    momentum=0.98,
    momentum_steps=200,
)
ANGLE = math.pi / 8
TURN = torch.tensor([[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]])


def windows(rows: int, steps: int, seed: int, *, wander: bool = False) -> TensorDict:
    """A point that moves by its action. The expert walks circles about the origin; who wanders acts at random."""
    generator = torch.Generator().manual_seed(seed)
    state = 2 * torch.rand(rows, 2, generator=generator) - 1
    states, actions = [state], []
    for _ in range(steps):
        random = 0.4 * torch.randn(rows, 2, generator=generator)
        action = random if wander else state @ TURN.T - state
        state = state + action
        actions.append(action)
        states.append(state)
    batch = TensorDict({"obs": {"state": torch.stack(states, 1)}, "action": torch.stack(actions, 1)}, batch_size=[rows])
    batch["valid"] = torch.ones(rows, steps + 1, dtype=torch.bool)
    batch["action_valid"] = torch.ones(rows, steps, dtype=torch.bool)
    return batch


def of(value: Tensor) -> ToyStatistics:
    rows = value.flatten(0, 1).double().numpy()
    return ToyStatistics(rows.mean(0), rows.std(0), rows.min(0), rows.max(0))


def learn(config: act_jepa.Config, num_steps: int, **options) -> Learner:
    sample = windows(500, config.horizon, 0, **options)
    torch.manual_seed(0)
    learner = make_learner(
        "act_jepa", config, SPEC, {"state": of(sample["obs", "state"]), "action": of(sample["action"])}
    )
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, num_steps)
    for step in range(num_steps):
        losses = learner(windows(64, config.horizon, 1 + step, **options))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        schedule.step()
        learner.update_target(step)
    return learner.eval()


def test_it_imitates_and_predicts_far_better_than_copying() -> None:
    learner = learn(CONFIG, 200)
    test = windows(256, 8, 10_000)
    with torch.no_grad():
        ratio = copy_ratio(learner.model(learner.normalizer(test)))
        error = (learner.actions(test["obs"].apply(lambda x: x[:, :1])) - test["action"]).abs().mean()
        monitor = learner.diagnostics(test)
    scale = (test["action"] - test["action"].mean((0, 1))).abs().mean()
    assert ratio < 0.2
    assert error < 0.1 * scale
    assert monitor["collapse/target_rank"] > 2


def test_told_actions_it_predicts_where_they_lead() -> None:
    """Under random actions nothing but the actions tells the future."""
    learner = learn(replace(CONFIG, action_conditioned=True), 250, wander=True)
    test = windows(256, 8, 10_000, wander=True)
    other = test.clone()
    other["action"] = test["action"].roll(1, 0)
    with torch.no_grad():
        told, misled = (copy_ratio(learner.model(learner.normalizer(b))) for b in (test, other))
    assert told < 0.4
    assert misled > 0.9
