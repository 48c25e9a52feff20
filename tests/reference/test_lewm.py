"""The preset `lewm` against LeWorldModel as released (lucas-maes/le-wm: jepa.py, module.py, train.py), written plainly.

The released encoder is Hugging Face's ViTModel. Weights are ours; what is computed from them is theirs.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.objectives import SIGReg
from worldjepa.objectives.sigreg import random_directions
from worldjepa.recipes import make_learner
from worldjepa.recipes.ac_jepa import lewm
from worldjepa.types import DataSpec, ObsSpec

WIDTH, VIT_HEADS, HEADS, LAYERS, ACTION, STRIDE = 24, 3, 4, 2, 2, 5
CONFIG = replace(
    lewm(),
    trunk_width=WIDTH,
    dim=WIDTH,
    vit_layers=LAYERS,
    vit_heads=VIT_HEADS,
    projector=32,
    predictor_layers=LAYERS,
    num_heads=HEADS,
    head_dim=8,
    ffn_dim=40,
    predictor_projector=36,
    dropout=0.0,
    sigreg_slices=64,
)
SPEC = DataSpec({"image": ObsSpec((28, 28, 3), "uint8")}, ACTION)
Weights = Mapping[str, Tensor]


class Released:
    """LeWorldModel's forward passes, from a state dictionary of ours."""

    def __init__(self, state: Weights, training: bool):
        self.state, self.training = state, training

    def part(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): w for name, w in self.state.items() if name.startswith(prefix)}

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, T, C, 28, 28] -> [B, T, D]: class token of the last hidden state, projected; all frames are one batch."""
        w = self.part("encoder.trunks.image.")
        x = F.conv2d(pixels.flatten(0, 1), w["embed.weight"], w["embed.bias"], stride=14).flatten(2).transpose(1, 2)
        x = torch.cat([w["token"].expand(len(x), 1, WIDTH), x], dim=1) + w["position"]
        for layer in range(LAYERS):
            b = {k.removeprefix(f"blocks.{layer}."): v for k, v in w.items() if k.startswith(f"blocks.{layer}.")}
            y = F.layer_norm(x, [WIDTH], b["norms.0.weight"], b["norms.0.bias"], eps=1e-12)
            q = linear(y, b, "attention.q")
            k, v = linear(y, b, "attention.kv").chunk(2, dim=-1)
            x = x + linear(attend(q, k, v, VIT_HEADS, causal=False), b, "attention.out")
            y = F.layer_norm(x, [WIDTH], b["norms.1.weight"], b["norms.1.bias"], eps=1e-12)
            x = x + linear(F.gelu(linear(y, b, "ffn.0")), b, "ffn.3")
        x = F.layer_norm(x, [WIDTH], w["norm.weight"], w["norm.bias"], eps=1e-12)
        return self.mlp(x[:, 0], self.part("encoder.project.")).unflatten(0, pixels.shape[:2])

    def mlp(self, x: Tensor, w: Weights) -> Tensor:
        """Linear, BatchNorm1d, GELU, linear."""
        x = linear(x, w, "0")
        if self.training:
            mean, variance = x.mean(0), x.var(0, unbiased=False)
        else:
            mean, variance = w["1.running_mean"], w["1.running_var"]
        x = (x - mean) / torch.sqrt(variance + 1e-5) * w["1.weight"] + w["1.bias"]
        return linear(F.gelu(x), w, "3")

    def act(self, action: Tensor) -> Tensor:
        """Embedder: a convolution of width 1, then a perceptron."""
        w = self.part("predictor.action.")
        smooth = F.conv1d(action.transpose(1, 2), w["0.weight"][..., None], w["0.bias"]).transpose(1, 2)
        return linear(F.silu(linear(smooth, w, "1")), w, "3")

    def predict(self, emb: Tensor, act_emb: Tensor) -> Tensor:
        """ARPredictor and pred_proj."""
        w = self.part("predictor.")
        x = emb + w["position"][: emb.shape[1], 0]
        for layer in range(LAYERS):
            b = {k.removeprefix(f"blocks.{layer}."): v for k, v in w.items() if k.startswith(f"blocks.{layer}.")}
            shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = linear(
                F.silu(act_emb), b, "modulation.1"
            ).chunk(6, dim=-1)
            y = F.layer_norm(x, [WIDTH], eps=1e-6) * (1 + scale_msa) + shift_msa
            y = F.layer_norm(y, [WIDTH], b["attention.norm.weight"], b["attention.norm.bias"])
            q, k, v = (y @ b["attention.qkv.weight"].T).chunk(3, dim=-1)
            x = x + gate_msa * linear(attend(q, k, v, HEADS, causal=True), b, "attention.out.0")
            y = F.layer_norm(x, [WIDTH], eps=1e-6) * (1 + scale_mlp) + shift_mlp
            y = F.layer_norm(y, [WIDTH], b["ffn.0.weight"], b["ffn.0.bias"])
            x = x + gate_mlp * linear(F.gelu(linear(y, b, "ffn.1")), b, "ffn.4")
        x = F.layer_norm(x, [WIDTH], w["norm.weight"], w["norm.bias"])
        return self.mlp(x.flatten(0, 1), self.part("predictor.projector.")).view_as(emb)

    def rollout(self, emb: Tensor, action: Tensor, history_size: int = 3) -> Tensor:
        """JEPA.rollout: [B, n, D] and [B, T, A] -> [B, T + 1, D], looking at the last three frames each time."""
        first = emb.shape[1]
        act, future = action[:, :first], action[:, first:]
        for t in range(future.shape[1] + 1):
            last = self.predict(emb[:, -history_size:], self.act(act)[:, -history_size:])[:, -1:]
            emb = torch.cat([emb, last], dim=1)
            act = torch.cat([act, future[:, t : t + 1]], dim=1)
        return emb


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool) -> Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def released_sigreg(emb: Tensor, directions: Tensor, knots: int = 17) -> Tensor:
    """SIGReg.forward of module.py on [T, B, D], with given directions."""
    t, dt = torch.linspace(0, 3, knots), 3 / (knots - 1)
    weights = torch.full((knots,), 2 * dt)
    weights[[0, -1]] = dt
    phi = torch.exp(-t.square() / 2)
    x = (emb @ directions).unsqueeze(-1) * t
    error = (x.cos().mean(-3) - phi).square() + x.sin().mean(-3).square()
    return ((error @ (weights * phi)) * emb.shape[-2]).mean()


@pytest.fixture
def learner() -> Learner:
    """Small, every weight stirred (AdaLN starts as the identity), statistics of batch norms that matter."""
    torch.manual_seed(0)
    learner = make_learner("ac_jepa", CONFIG, SPEC, {"action": statistics()})
    for name, value in learner.model.named_parameters():
        nn.init.normal_(value, mean=0.0 if value.ndim > 1 else 0.3, std=0.2)
        if name.startswith("encoder.trunks.image.embed"):
            value.data *= 0.2
    for name, value in learner.model.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return learner


def statistics() -> ToyStatistics:
    return ToyStatistics(*(torch.tensor(x).numpy() for x in ([0.1, -0.2], [0.7, 1.3], [-1.0, -1.0], [1.0, 1.0])))


def windows(rows: int = 5, frames: int = 4) -> TensorDict:
    image = torch.randint(0, 256, (rows, frames, 28, 28, 3), dtype=torch.uint8)
    action = torch.randn(rows, frames - 1, STRIDE * ACTION)
    valid = {"valid": torch.ones(rows, frames).bool(), "action_valid": torch.ones(rows, frames - 1).bool()}
    obs = TensorDict({"image": image}, batch_size=[rows])
    return TensorDict({"obs": obs, "action": action, **valid}, batch_size=[rows])


def prepared(batch: TensorDict) -> tuple[Tensor, Tensor]:
    """What the released transforms make of a batch: pixels standardised as ImageNet's, actions by column."""
    pixels = batch["obs", "image"].permute(0, 1, 4, 2, 3) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    action = batch["action"].unflatten(-1, (STRIDE, ACTION))
    action = (action - torch.tensor([0.1, -0.2])) / torch.tensor([0.7, 1.3])
    return (pixels - mean[:, None, None]) / std[:, None, None], action.flatten(2)


@pytest.mark.parametrize("training", [True, False])
def test_latents_predictions_and_loss_are_the_released_ones(learner: Learner, training: bool) -> None:
    learner.train(training)
    batch = windows()
    released = Released({k: v.detach().clone() for k, v in learner.model.state_dict().items()}, training)
    pixels, action = prepared(batch)
    emb = released.encode(pixels)
    predicted = released.predict(emb[:, :3], released.act(action))
    step = learner.objective.term(SIGReg).step.clone()
    sigreg = released_sigreg(emb.transpose(0, 1), random_directions(WIDTH, CONFIG.sigreg_slices, step))
    expected = (predicted - emb[:, 1:]).square().mean() + 0.09 * sigreg
    with torch.no_grad():
        ours = learner.model(learner.normalizer(batch))
        losses = learner.objective(ours, batch)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(ours.context[:, :, 0], emb, **close)
    torch.testing.assert_close(ours.predicted[:, :, 0], predicted, **close)
    torch.testing.assert_close(losses["sigreg"], sigreg, **close)
    torch.testing.assert_close(losses["loss"], expected, **close)


def test_the_gradient_is_the_released_one(learner: Learner) -> None:
    """Through the targets too: nothing is detached."""
    learner.train()
    batch = windows()
    learner(batch)["loss"].backward()
    learner.objective.term(SIGReg).step.zero_()
    state = {k: v.detach().clone() for k, v in learner.model.state_dict().items()}
    watched = ("encoder.trunks.image.token", "encoder.project.0.weight", "predictor.action.0.weight")
    for name in watched:
        state[name].requires_grad_()
    released, (pixels, action) = Released(state, True), prepared(batch)
    emb = released.encode(pixels)
    predicted = released.predict(emb[:, :3], released.act(action))
    directions = random_directions(WIDTH, CONFIG.sigreg_slices, torch.zeros((), dtype=torch.long))
    loss = (predicted - emb[:, 1:]).square().mean() + 0.09 * released_sigreg(emb.transpose(0, 1), directions)
    loss.backward()
    ours = dict(learner.model.named_parameters())
    for name in watched:
        torch.testing.assert_close(ours[name].grad, state[name].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3])
def test_rollouts_are_the_released_ones(learner: Learner, frames: int) -> None:
    """From one frame or three, and for longer than the three frames that it looks back on."""
    learner.eval()
    batch = windows(frames=9)
    released = Released(learner.model.state_dict(), False)
    pixels, action = prepared(batch)
    with torch.no_grad():
        expected = released.rollout(released.encode(pixels[:, :frames]), action)[:, frames:]
        ours = learner.rollout(batch["obs"].apply(lambda x: x[:, :frames]), batch["action"])
    torch.testing.assert_close(ours[:, :, 0], expected, rtol=1e-4, atol=1e-5)


def test_released_sizes_and_starting_weights() -> None:
    """15 million weights or so; the embedding of actions narrows to 10; AdaLN starts as the identity."""
    spec = DataSpec({"image": ObsSpec((224, 224, 3), "uint8")}, 5)
    model = make_learner("ac_jepa", lewm(), spec, None).model
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes["predictor.action.0.weight"] == (10, 25)
    assert shapes["encoder.trunks.image.position"] == (257, 192)
    assert shapes["predictor.position"] == (3, 1, 192)
    assert shapes["predictor.blocks.5.attention.qkv.weight"] == (3072, 192)
    # ViT-tiny without pooler, projector, embedder, predictor and pred_proj of the released configuration
    block = 2 * 192 + 192 * 3072 + 1024 * 192 + 192 + 2 * 192 + 192 * 2048 + 2048 + 2048 * 192 + 192 + 192 * 1152 + 1152
    mlp = 192 * 2048 + 2048 + 2 * 2048 + 2048 * 192 + 192
    embedder = 25 * 10 + 10 + 10 * 768 + 768 + 768 * 192 + 192
    assert sum(p.numel() for p in model.encoder.trunks.parameters()) == vit_tiny_size()
    assert sum(p.numel() for p in model.predictor.parameters()) == 3 * 192 + embedder + 6 * block + 2 * 192 + mlp
    weight = model.encoder.trunks["image"].blocks[3].attention.q.weight
    assert 0.019 < float(weight.detach().std()) < 0.021
    assert not model.predictor.blocks[0].modulation[1].weight.any()


def vit_tiny_size() -> int:
    block = 4 * (192 * 192 + 192) + 192 * 768 + 768 + 768 * 192 + 192 + 4 * 192
    return 192 * 3 * 14**2 + 192 + 192 + 257 * 192 + 12 * block + 2 * 192
