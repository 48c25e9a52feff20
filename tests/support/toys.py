"""Small data specifications, statistics, batches and learners, made in milliseconds."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from tensordict import TensorDict

from worldjepa.learner import Learner
from worldjepa.recipes import act_jepa, make_learner
from worldjepa.types import DataSpec, ObsSpec, nested

SPEC = DataSpec(
    {"agent/pos": ObsSpec((2,), "float32"), "block": ObsSpec((3,), "float32"), "image": ObsSpec((32, 32, 3), "uint8")},
    action_dim=2,
    action_low=(-2.0, -3.0),
    action_high=(2.0, 3.0),
)

TINY = act_jepa.Config(
    history=2,
    chunk=4,
    horizon=3,
    dim=16,
    num_heads=2,
    ffn_dim=32,
    encoder_layers=1,
    predictor_dim=8,
    predictor_layers=1,
    dropout=0.0,
    momentum_end=1.0,
    momentum_steps=10,
)

IMAGES = replace(TINY, image_keys=("image",), state_keys=("agent/pos", "block"), trunk_width=4)


@dataclass(frozen=True)
class ToyStatistics:
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray


def toy_statistics(spec: DataSpec = SPEC) -> dict[str, ToyStatistics]:
    """Statistics of every state key and of the action; all different, none trivial."""
    sizes = {k: v.shape for k, v in spec.obs.items() if v.kind == "state"} | {"action": (spec.action_dim,)}
    out = {}
    for number, (key, shape) in enumerate(sizes.items()):
        mean = np.full(shape, 0.1 * number) + np.arange(np.prod(shape)).reshape(shape) / 10
        out[key] = ToyStatistics(mean, np.full(shape, 0.5 + 0.1 * number), mean - 2.0, mean + 3.0)
    return out


def toy_batch(rows: int = 4, steps: int = 6, spec: DataSpec = SPEC, seed: int = 0, images: bool = False) -> TensorDict:
    """A batch of random windows [rows, steps + 1] in raw units; row i ends i transitions early and is padded there."""
    rng = torch.Generator().manual_seed(seed)
    obs = TensorDict({}, batch_size=[rows])
    ends = torch.tensor([max(steps - i, 2) for i in range(rows)])
    frame = torch.minimum(torch.arange(steps + 1)[None], ends[:, None])
    for key, value in spec.obs.items():
        if value.kind == "state":
            drawn = torch.randn(rows, steps + 1, *value.shape, generator=rng)
        elif images:
            drawn = torch.randint(0, 256, (rows, steps + 1, *value.shape), generator=rng, dtype=torch.uint8)
        else:
            continue
        obs[nested(key)] = drawn[torch.arange(rows)[:, None], frame]
    batch = TensorDict({}, batch_size=[rows])
    batch["obs"] = obs
    batch["action"] = torch.randn(rows, steps, spec.action_dim, generator=rng)
    batch["valid"] = torch.arange(steps + 1) <= ends[:, None]
    batch["action_valid"] = torch.arange(steps) < ends[:, None]
    return batch


def present(batch: TensorDict, history: int = TINY.history) -> TensorDict:
    """The observations of a batch that a policy would see."""
    return batch["obs"].apply(lambda x: x[:, :history])


def toy_learner(
    config: act_jepa.Config = TINY, *, spec: DataSpec = SPEC, seed: int = 0, name: str = "act_jepa"
) -> Learner:
    """A fresh learner whose weights depend on ``seed`` alone."""
    torch.manual_seed(seed)
    return make_learner(name, config, spec, toy_statistics(spec))


def train(learner: Learner, batches: list[TensorDict], lr: float = 1e-3) -> list[dict[str, float]]:
    """AdamW steps, one a batch, each followed by the target's update; the losses of each."""
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=lr)
    history = []
    for step, batch in enumerate(batches):
        losses = learner(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        learner.update_target(step)
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return history
