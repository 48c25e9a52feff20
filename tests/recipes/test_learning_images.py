"""ACT-JEPA from pixels alone: some hundred steps on a world that only the camera shows."""

from dataclasses import replace

import torch
from tensordict import TensorDict
from torch import Tensor
from toys import ToyStatistics

from worldjepa.recipes import act_jepa, make_learner
from worldjepa.types import DataSpec, ObsSpec

SIZE, HORIZON, STEPS = 24, 2, 220
SPEC = DataSpec({"camera": ObsSpec((SIZE, SIZE, 3), "uint8")}, 2)


def picture(p: Tensor) -> Tensor:
    """A soft dot at p [..., 2] in [-1, 1] on black: uint8 [..., SIZE, SIZE, 3]."""
    axis = torch.linspace(-1, 1, SIZE)
    x, y = ((axis - p[..., i, None]).square().mul(-12).exp() for i in (0, 1))
    return (255 * y[..., :, None] * x[..., None, :]).round().to(torch.uint8)[..., None].expand(*p.shape[:-1], -1, -1, 3)


def windows(rows: int, seed: int) -> TensorDict:
    """The dot goes to the centre: each action is two fifths of the way, a = -0.4 p."""
    p = torch.rand(rows, 2, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9
    path = torch.stack([p * 0.6**t for t in range(HORIZON + 1)], dim=1)
    return TensorDict(
        {
            "obs": TensorDict({"camera": picture(path)}, [rows]),
            "action": -0.4 * path[:, :-1],
            "valid": torch.ones(rows, HORIZON + 1, dtype=torch.bool),
            "action_valid": torch.ones(rows, HORIZON, dtype=torch.bool),
        },
        [rows],
    )


def test_pixels_are_learned_and_the_future_is_predicted() -> None:
    config = replace(
        act_jepa.small(),
        image_keys=("camera",),
        target_keys=("camera",),
        history=1,
        chunk=HORIZON,
        horizon=HORIZON,
        dim=32,
        ffn_dim=64,
        trunk_width=4,
        predictor_dim=32,
        momentum=0.98,
        momentum_end=0.98,
    )
    action = windows(512, 0)["action"].flatten(0, 1).numpy()
    statistics = {"action": ToyStatistics(action.mean(0), action.std(0), action.min(0), action.max(0))}
    learner = make_learner("act_jepa", config, SPEC, statistics)
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], 3e-3)
    for step in range(STEPS):
        learner(windows(16, step + 1))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        learner.update_target(step)
    learner.eval()
    held_out = windows(128, 10_000)
    with torch.no_grad():
        error = (
            learner.actions(held_out["obs"].apply(lambda x: x[:, :1], batch_size=[128, 1])) - held_out["action"]
        ).abs()
    blind = held_out["action"].abs().mean()  # the best guess without the picture is no motion
    assert error.mean() < 0.35 * blind
    found = learner.diagnostics(held_out)
    assert found["collapse/copy_ratio"] < 0.7
    assert found["collapse/rank"] > 2
