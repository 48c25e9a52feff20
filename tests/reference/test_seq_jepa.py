"""seq-JEPA against its computation written naively, from the paper (arXiv 2505.03176) and the released module names."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.recipes import seq_jepa
from worldjepa.recipes.seq_jepa import released
from worldjepa.types import DataSpec, ObsSpec

SIZE, WIDTH, EMBED, HIDDEN = 32, 4, 8, 24
SPEC = DataSpec({"image": ObsSpec((SIZE, SIZE, 3), "uint8"), "rotation": ObsSpec((4,), "float32")}, 6)
MEAN, STD = (0.5016, 0.5037, 0.5060), (0.1030, 0.0999, 0.0969)
SMALL = replace(
    seq_jepa.threedie(),
    trunk_width=WIDTH,
    action_embed=EMBED,
    layers=2,
    hidden=HIDDEN,
    dropout=0.0,
    momentum_steps=10,
)


class Block(nn.Module):
    """A residual block with torchvision's names."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + shortcut).relu()


class ResNet18(nn.Module):
    """ResNet-18 with torchvision's names and no last layer."""

    def __init__(self, width: int, small: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        for i in range(4):
            inner, outer = width * max(1, 2 ** (i - 1)), width * 2**i
            pair = nn.Sequential(Block(inner, outer, 1 if i == 0 else 2), Block(outer, outer, 1))
            setattr(self, f"layer{i + 1}", pair)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class Aggregator(nn.Module):
    """torch's own encoder layers, post-norm with ReLU, and a layer norm behind them."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.transformer_encoder.layers:
            x = layer(x)
        return self.norm(x)


class Reference(nn.Module):
    """Sections 2.2 and A.2 of the paper: ``relative`` [B, M, A] are the actions, of which the last leads to ``last``.

    ``released``: whether the embedding of the tokens' actions sees what stands in the last view's place.
    """

    def __init__(self, actions: int, *, width=WIDTH, embed=EMBED, hidden=HIDDEN, layers=2, small=False, released=True):
        super().__init__()
        self.released = released
        dim = 8 * width
        self.encoder = ResNet18(width, small)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.action_proj = nn.Sequential(nn.Linear(actions, embed, bias=False), nn.BatchNorm1d(embed, affine=False))
        self.agg_token = nn.Parameter(torch.zeros(1, 1, dim + embed))
        self.transformer_encoder = Aggregator(dim + embed, layers)
        self.predictor = nn.Sequential(
            nn.Linear(dim + 2 * embed, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
        )
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if not name.startswith("target_encoder"):
                    parameter.add_(0.1 * torch.randn_like(parameter))
            for parameter in self.target_encoder.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))

    def forward(self, seen: Tensor, last: Tensor, relative: Tensor) -> dict[str, Tensor]:
        rows, count = seen.shape[:2]
        z = self.encoder(seen.flatten(0, 1)).unflatten(0, (rows, count))
        target = self.target_encoder(last).detach()
        upcoming = self.action_proj(relative[:, -1])
        if self.released:
            told = self.action_proj(relative.flatten(0, 1)).unflatten(0, (rows, count)).clone()
        else:
            told = self.action_proj(relative[:, :-1].flatten(0, 1)).unflatten(0, (rows, count - 1))
            told = torch.cat([told, torch.zeros_like(told[:, :1])], 1)
        told[:, -1] = 0.0
        tokens = torch.cat([self.agg_token.expand(rows, -1, -1), torch.cat([z, told], -1)], 1)
        aggregate = self.transformer_encoder(tokens)[:, 0]
        predicted = self.predictor(torch.cat([aggregate, upcoming], -1))
        loss = 1 - F.cosine_similarity(predicted, target, dim=1).mean()
        return {"z": z, "target": target, "aggregate": aggregate, "predicted": predicted, "loss": loss}

    def follow(self, momentum: float) -> None:
        with torch.no_grad():
            for a, b in zip(self.target_encoder.parameters(), self.encoder.parameters()):
                a.copy_(momentum * a + (1 - momentum) * b)


def batch_of(views: int, rows: int = 6) -> TensorDict:
    torch.manual_seed(3)
    obs = {
        "image": torch.randint(256, (rows, views, SIZE, SIZE, 3), dtype=torch.uint8),
        "rotation": F.normalize(torch.randn(rows, views, 4).double(), dim=-1),
    }
    valid = torch.ones(rows, views, dtype=torch.bool)
    acted = torch.zeros(rows, views - 1, dtype=torch.bool)
    action = torch.zeros(rows, views - 1, 6)
    return TensorDict({"obs": TensorDict(obs, [rows]), "action": action, "valid": valid, "action_valid": acted}, [rows])


def told_of(batch: TensorDict) -> tuple[Tensor, Tensor]:
    """What the released code would be given: standardised images [B, M+1, 3, h, w], and quaternions by scipy."""
    pixels = batch["obs", "image"].permute(0, 1, 4, 2, 3).double() / 255
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    turns = [Rotation.from_quat(batch["obs", "rotation"][:, i].numpy()) for i in range(pixels.shape[1])]
    relative = [torch.from_numpy((a.inv() * b).as_quat()) for a, b in itertools.pairwise(turns)]
    return pixels, torch.stack(relative, 1)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b.to(a.dtype), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["released", "mended", "averaged"])
@pytest.mark.parametrize("observed", [1, 3])
def test_a_training_step_is_the_published_one(variant, observed) -> None:
    torch.manual_seed(0)
    as_released = variant == "released"
    reference = Reference(4, released=as_released or observed == 1)
    statistics = "averaged" if variant == "averaged" else "batch"
    config = replace(SMALL, observed=observed, target_statistics=statistics)
    learner = seq_jepa.from_official(reference.state_dict(), released(config) if as_released else config, SPEC)
    learner.double().train()
    reference.double().train()
    reference.target_encoder.train(statistics == "batch")
    batch = batch_of(observed + 1)
    pixels, relative = told_of(batch)
    if not as_released:
        relative = torch.where(relative[..., 3:] < 0, -relative, relative)
    wanted = reference(pixels[:, :-1], pixels[:, -1], relative)
    losses = learner(batch)
    losses["loss"].backward()
    wanted["loss"].backward()
    same(losses["loss"], wanted["loss"])
    renamed = seq_jepa.from_official(gradients(reference), config, SPEC).model.state_dict()
    for name, parameter in learner.model.named_parameters():
        if parameter.requires_grad:
            same(parameter.grad, renamed[name])
    for x in (learner, reference):
        optimizer = torch.optim.SGD([p for p in x.parameters() if p.requires_grad], 0.1)
        optimizer.step()
    learner.update_target(0)
    reference.follow(0.996)
    theirs = seq_jepa.from_official(reference.state_dict(), config, SPEC).model.state_dict()
    for name, value in learner.model.state_dict().items():
        averaged = statistics == "averaged" and name.startswith("target") and "running" in name
        tracked = observed == 1 and not as_released and ".action.1." in name
        if not averaged and not tracked and "num_batches" not in name:
            same(value, theirs[name])


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module with gradients in the place of weights."""
    found = {name: value.clone() for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.clone()
    return found


def test_latents_aggregate_and_prediction_are_the_published_ones() -> None:
    torch.manual_seed(0)
    reference = Reference(4)
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
        for config in (released(SMALL), replace(SMALL, canonical=False)):
            learner = seq_jepa.from_official(reference.state_dict(), config, SPEC).double()
            batch = batch_of(4)
            pixels, relative = told_of(batch)
            wanted = reference.double().eval()(pixels[:, :-1], pixels[:, -1], relative)
            prediction = learner.model(learner.normalizer(batch))
            same(prediction.context[:, :, 0], wanted["z"])
            same(prediction.target[:, 0, 0], wanted["target"])
            same(prediction.predicted[:, 0, 0], wanted["predicted"])
            aggregate = learner.model.predictor.aggregate(prediction.context, relative)
            same(aggregate, wanted["aggregate"])
            same(learner.encode(batch["obs"].select("image"))[:, :3, 0], wanted["z"])


def test_presets_have_the_published_sizes() -> None:
    torch.manual_seed(0)
    config = replace(seq_jepa.threedie(), dropout=0.0)
    reference = Reference(4, width=64, embed=128, hidden=1024, layers=3).eval()
    state = {f"module.{name}": value for name, value in reference.state_dict().items()}
    learner = seq_jepa.from_official(state, config, SPEC).double()
    sizes = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in learner.model.named_children()}
    assert sizes["encoder"] == pytest.approx(11.18, abs=0.01)
    assert sizes["predictor"] == pytest.approx(14.8 + 1.31, abs=0.1)
    batch = batch_of(4, rows=2)
    pixels, relative = told_of(batch)
    relative = torch.where(relative[..., 3:] < 0, -relative, relative)
    with torch.no_grad():
        wanted = reference.double()(pixels[:, :-1], pixels[:, -1], relative)["predicted"]
        same(learner.model(batch).predicted[:, 0, 0], wanted)


def test_what_is_no_released_checkpoint() -> None:
    state = Reference(4).state_dict()
    probes = {"online_linprobe.0.weight": torch.zeros(2, 2), "agg_classifier.bias": torch.zeros(2)}
    seq_jepa.from_official(state | probes, SMALL, SPEC)
    with pytest.raises(ValueError, match=r"1 entries are none of a released seq-JEPA's, such as \['head.weight'\]"):
        seq_jepa.from_official(state | {"head.weight": torch.zeros(2)}, SMALL, SPEC)
    with pytest.raises(ValueError, match=r"1 missing \['predictor.head.3.bias'\]"):
        seq_jepa.from_official({k: v for k, v in state.items() if k != "predictor.3.bias"}, SMALL, SPEC)
    with pytest.raises(ValueError, match="of another shape"):
        seq_jepa.from_official(state, replace(SMALL, action_embed=4), SPEC)
    with pytest.raises(ValueError, match=r"1 of another shape \['encoder.trunks.image.stem.0.weight'\]|2 of another"):
        seq_jepa.from_official(state, replace(SMALL, stem="small"), SPEC)
    with pytest.raises(ValueError, match='expected trunk="resnet"'):
        seq_jepa.from_official(state, replace(SMALL, trunk="conv"), SPEC)
