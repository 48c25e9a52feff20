"""The preset `dino_wm` against DINO-WM as released (gaoyuezhou/dino_wm: models/visual_world_model.py, vit.py,
proprio.py; concat_dim 1, no decoder), written plainly. The frozen encoder is a tiny random network.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.recipes import from_pretrained, make_learner, save_pretrained
from worldjepa.recipes.ac_jepa import dino_wm
from worldjepa.types import DataSpec, ObsSpec

VISUAL, PROPRIO, ACTED, CELLS, HEADS, LAYERS, HISTORY = 14, 10, 10, 4, 4, 2, 3
WIDTH = VISUAL + PROPRIO + ACTED
CONFIG = replace(
    dino_wm(),
    state_keys=("arm",),
    stride=2,
    predictor_layers=LAYERS,
    num_heads=HEADS,
    head_dim=8,
    ffn_dim=40,
    dropout=0.0,
)
SPEC = DataSpec({"image": ObsSpec((8, 8, 3), "uint8"), "arm": ObsSpec((3,), "float32")}, 2)
STATISTICS = {
    "arm": ToyStatistics(np.array([0.1, 0.2, -0.3]), np.array([1.5, 0.7, 0.9]), -np.ones(3), np.ones(3)),
    "action": ToyStatistics(np.array([0.1, -0.2]), np.array([0.7, 1.3]), -np.ones(2), np.ones(2)),
}


class Features(nn.Module):
    """Patch tokens [M, 4, 14]; a batch norm and a dropout show whether it is in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, VISUAL, 4, 4)
        self.norm = nn.BatchNorm2d(VISUAL)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.patch(x))).flatten(2).transpose(1, 2)


class Released:
    """VWorldModel with ViTPredictor, from a state dictionary of ours."""

    def __init__(self, state: dict[str, Tensor], features: nn.Module):
        self.state, self.features = state, features

    def encode_act(self, action: Tensor) -> Tensor:
        """ProprioceptiveEmbedding: a convolution of width 1."""
        weight, bias = (self.state[f"predictor.action.{name}"] for name in ("weight", "bias"))
        return F.conv1d(action.transpose(1, 2), weight[..., None], bias).transpose(1, 2)

    def encode(self, pixels: Tensor, proprio: Tensor, action: Tensor) -> Tensor:
        """[B, T, CELLS, WIDTH]: visual tokens, then proprioception, then action, the last two alike in all tokens."""
        visual = self.features(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        weight, bias = (self.state[f"encoder.state.embed.arm.{name}"] for name in ("weight", "bias"))
        proprio = F.conv1d(proprio.transpose(1, 2), weight[..., None], bias).transpose(1, 2)
        beside = torch.cat([proprio, self.encode_act(action)], dim=-1)
        return torch.cat([visual, beside[:, :, None].expand(-1, -1, CELLS, -1)], dim=-1)

    def predict(self, z: Tensor) -> Tensor:
        """ViTPredictor: every token attends to those of its own and earlier frames."""
        w = {k.removeprefix("predictor."): v for k, v in self.state.items() if k.startswith("predictor.")}
        frames = z.shape[1]
        x = z.flatten(1, 2) + w["position"].flatten(0, 1)[: frames * CELLS]
        mask = torch.ones(frames, frames).tril().repeat_interleave(CELLS, 0).repeat_interleave(CELLS, 1)
        for layer in range(LAYERS):
            b = {k.removeprefix(f"blocks.{layer}."): v for k, v in w.items() if k.startswith(f"blocks.{layer}.")}
            y = F.layer_norm(x, [WIDTH], b["attention.norm.weight"], b["attention.norm.bias"])
            qkv = (y @ b["attention.qkv.weight"].T).chunk(3, dim=-1)
            q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in qkv)
            dots = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(mask == 0, -torch.inf)
            y = (dots.softmax(-1) @ v).transpose(1, 2).flatten(2)
            x = y @ b["attention.out.0.weight"].T + b["attention.out.0.bias"] + x
            y = F.layer_norm(x, [WIDTH], b["ffn.0.weight"], b["ffn.0.bias"])
            y = F.gelu(y @ b["ffn.1.weight"].T + b["ffn.1.bias"])
            x = y @ b["ffn.4.weight"].T + b["ffn.4.bias"] + x
        return F.layer_norm(x, [WIDTH], w["norm.weight"], w["norm.bias"]).unflatten(1, (frames, CELLS))

    def loss(self, pixels: Tensor, proprio: Tensor, action: Tensor) -> Tensor:
        """z_loss: squared error of all but the action's channels, the target detached."""
        z = self.encode(pixels, proprio, torch.cat([action, torch.zeros_like(action[:, :1])], dim=1))
        predicted = self.predict(z[:, :HISTORY])
        return F.mse_loss(predicted[..., :-ACTED], z[:, 1:, :, :-ACTED].detach())

    def rollout(self, pixels: Tensor, proprio: Tensor, action: Tensor) -> Tensor:
        """Frames after the context; the true next action replaces the predicted one."""
        first = pixels.shape[1]
        z = self.encode(pixels, proprio, action[:, :first])
        for t in range(first, action.shape[1]):
            new = self.predict(z[:, -HISTORY:])[:, -1:]
            told = self.encode_act(action[:, t : t + 1])[:, :, None].expand(-1, -1, CELLS, -1)
            z = torch.cat([z, torch.cat([new[..., :-ACTED], told], dim=-1)], dim=1)
        z = torch.cat([z, self.predict(z[:, -HISTORY:])[:, -1:]], dim=1)
        return z[:, first:, :, :-ACTED]


@pytest.fixture
def learner() -> Learner:
    torch.manual_seed(0)
    features = Features()
    features.norm.running_mean.uniform_(-1, 1)  # pyright: ignore[reportOptionalMemberAccess]
    return make_learner("ac_jepa", CONFIG, SPEC, STATISTICS, features=features)


def windows(rows: int = 3, frames: int = 4) -> TensorDict:
    image = torch.randint(0, 256, (rows, frames, 8, 8, 3), dtype=torch.uint8)
    obs = TensorDict({"image": image, "arm": torch.randn(rows, frames, 3)}, batch_size=[rows])
    valid = {"valid": torch.ones(rows, frames).bool(), "action_valid": torch.ones(rows, frames - 1).bool()}
    return TensorDict({"obs": obs, "action": torch.randn(rows, frames - 1, 4), **valid}, batch_size=[rows])


def prepared(learner: Learner, batch: TensorDict) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels in [-1, 1], proprioception and actions by column."""
    normalised = learner.normalizer(batch)
    pixels = (batch["obs", "image"].permute(0, 1, 4, 2, 3) / 255 - 0.5) / 0.5
    return pixels, normalised["obs", "arm"], normalised["action"]


def released(learner: Learner) -> Released:
    state = {name: value.detach().clone() for name, value in learner.model.state_dict().items()}
    return Released(state, frozen(learner))


def frozen(learner: Learner) -> Any:
    return learner.model.encoder.trunks["image"]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_the_released_one(learner: Learner, training: bool) -> None:
    batch = windows()
    expected = released(learner.eval()).loss(*prepared(learner, batch))
    loss = learner.train(training)(batch)["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_proprioception_is_the_released_one(learner: Learner) -> None:
    """It comes from the context alone: the target is detached."""
    batch, name = windows(), "encoder.state.embed.arm.weight"
    reference = released(learner)
    reference.state[name].requires_grad_()
    reference.loss(*prepared(learner, batch)).backward()
    learner.train()(batch)["loss"].backward()
    ours = dict(learner.model.named_parameters())[name]
    torch.testing.assert_close(ours.grad, reference.state[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 3])
def test_rollouts_are_the_released_ones(learner: Learner, frames: int) -> None:
    batch = windows(frames=8)
    pixels, proprio, action = prepared(learner.eval(), batch)
    with torch.no_grad():
        expected = released(learner).rollout(pixels[:, :frames], proprio[:, :frames], action)
        ours = learner.rollout(batch["obs"].apply(lambda x: x[:, :frames]), batch["action"])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_the_features_are_not_learned(learner: Learner) -> None:
    before = {name: value.clone() for name, value in frozen(learner).state_dict().items()}
    optimizer = torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    learner.train()
    learner(windows())["loss"].backward()
    optimizer.step()
    learner.update_target(0)
    assert not any(module.training for module in frozen(learner).modules())
    assert all(torch.equal(value, before[name]) for name, value in frozen(learner).state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in frozen(learner).parameters())
    learned = [name for name, p in learner.named_parameters() if p.grad is not None and p.grad.any()]
    assert {name.split(".")[1] for name in learned} == {"encoder", "predictor"}
    assert len(learned) == len([p for p in learner.parameters() if p.requires_grad])


def test_a_saved_model_comes_back_with_the_features_it_had(learner: Learner, tmp_path: Path) -> None:
    batch = windows()
    save_pretrained(learner.eval(), tmp_path)
    loaded = from_pretrained(tmp_path, features=Features())
    assert torch.equal(loaded(batch)["loss"], learner(batch)["loss"])
    assert not any(p.requires_grad for p in frozen(loaded).parameters())
    with pytest.raises(ValueError, match="needs the frozen encoder it stands for"):
        from_pretrained(tmp_path)


def test_without_features_or_with_features_that_nothing_asks_for_it_is_not_built() -> None:
    with pytest.raises(ValueError, match="pass features=encoder"):
        make_learner("ac_jepa", CONFIG, SPEC, STATISTICS)
    with pytest.raises(ValueError, match="no other trunk takes one"):
        make_learner("ac_jepa", replace(CONFIG, trunk="conv"), SPEC, STATISTICS, features=Features())
