"""seq-JEPA against its computation written naively, from the paper (arXiv 2505.03176) and the released module names."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.recipes import seq_jepa
from worldjepa.recipes.seq_jepa import released
from worldjepa.types import DataSpec, ObsSpec, ViewFunction, Views

SIZE, WIDTH, EMBED, HIDDEN = 32, 4, 8, 24
SPEC = DataSpec({"image": ObsSpec((SIZE, SIZE, 3), "uint8"), "rotation": ObsSpec((4,), "float32")}, 6)
PICTURES = DataSpec({"image": ObsSpec((SIZE, SIZE, 3), "uint8"), "saliency": ObsSpec((SIZE, SIZE, 1), "uint8")}, 0)
STANDARD = {
    "threedie": ((0.5016, 0.5037, 0.5060), (0.1030, 0.0999, 0.0969)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "tiny_imagenet": ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2241, 0.2215, 0.2239)),
}
"""Mean and standard deviation of pixels as published."""
NARROW: dict[str, Any] = {"trunk_width": WIDTH, "action_embed": EMBED, "layers": 2, "hidden": HIDDEN, "dropout": 0.0}
NARROW |= {"momentum_steps": 10}
SMALL = replace(seq_jepa.threedie(), **NARROW)
Told = Callable[[], tuple[Tensor, Tensor]]
"""What the released code would be given: standardised images [B, M+1, 3, h, w], actions [B, M, A]."""


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

    ``unused``: what the embedding of the tokens' actions sees in the last view's place: the action itself (rotations as
    released), zeros (differences of parameters as released), or nothing, "skip". ``tokens``, ``head``: whether the
    aggregator and the predictor are told actions.
    """

    def __init__(
        self,
        actions: int,
        *,
        width: int = WIDTH,
        embed: int = EMBED,
        hidden: int = HIDDEN,
        layers: int = 2,
        small: bool = False,
        unused: str = "keep",
        tokens: bool = True,
        head: bool = True,
    ):
        super().__init__()
        self.unused, self.tokens, self.head, self.embed = unused, tokens, head, embed
        dim = 8 * width
        self.encoder = ResNet18(width, small)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        if tokens or head:
            self.action_proj = nn.Sequential(nn.Linear(actions, embed, bias=False), nn.BatchNorm1d(embed, affine=False))
        inner = dim + embed * tokens
        self.agg_token = nn.Parameter(torch.zeros(1, 1, inner))
        self.transformer_encoder = Aggregator(inner, layers)
        self.predictor = nn.Sequential(
            nn.Linear(inner + embed * head, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
        )
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2.0)

    def forward(self, seen: Tensor, last: Tensor, relative: Tensor) -> dict[str, Tensor]:
        rows, count = seen.shape[:2]
        z = self.encoder(seen.flatten(0, 1)).unflatten(0, (rows, count))
        target = self.target_encoder(last).detach()
        upcoming = [self.action_proj(relative[:, -1])] if self.head else []
        beside = [self.beside(relative)] if self.tokens else []
        tokens = torch.cat([self.agg_token.expand(rows, -1, -1), torch.cat([z, *beside], -1)], 1)
        aggregate = self.transformer_encoder(tokens)[:, 0]
        predicted = self.predictor(torch.cat([aggregate, *upcoming], -1))
        loss = 1 - F.cosine_similarity(predicted, target, dim=1).mean()
        return {"z": z, "target": target, "aggregate": aggregate, "predicted": predicted, "loss": loss}

    def beside(self, relative: Tensor) -> Tensor:
        rows, count = relative.shape[:2]
        told = relative.new_zeros(rows, count, self.embed)
        shown = relative[:, :-1] if self.unused == "skip" else relative.clone()
        if self.unused == "zero":
            shown[:, -1] = 0.0
        if shown.shape[1] > 0:
            embedded = self.action_proj(shown.flatten(0, 1)).unflatten(0, (rows, -1))
            told[:, :-1] = embedded[:, : count - 1]
        return told

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
    """See `Told`: views and their quaternions, related by scipy."""
    turns = [Rotation.from_quat(q) for q in batch["obs", "rotation"].unbind(1)]
    relative = [torch.from_numpy((a.inv() * b).as_quat()) for a, b in itertools.pairwise(turns)]
    return standardised(batch["obs", "image"], "threedie"), torch.stack(relative, 1)


def standardised(image: Tensor, data: str) -> Tensor:
    mean, std = (torch.tensor(x)[:, None, None] for x in STANDARD[data])
    return (image.permute(0, 1, 4, 2, 3).double() / 255 - mean) / std


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b.to(a.dtype), atol=1e-5, rtol=1e-5)


def check_step(reference: Reference, config: seq_jepa.Config, spec: DataSpec, batch: TensorDict, told: Told) -> None:
    """What a released model says in eval mode, then its loss, gradients, buffers and averages in a training step."""
    learner = seq_jepa.from_official(reference.state_dict(), config, spec).double()
    learner.model.views = in_double(learner.model.views)
    pixels, relative = told()
    reference.double().eval()
    with torch.no_grad():
        wanted = reference(pixels[:, :-1], pixels[:, -1], relative)
        found = seeded(lambda: learner.model(learner.normalizer(batch)))
    for ours, theirs in ((found.context[:, :, 0], "z"), (found.target[:, 0, 0], "target")):
        same(ours, wanted[theirs])
    same(found.predicted[:, 0, 0], wanted["predicted"])
    learner.train()
    reference.train()
    reference.target_encoder.train(config.target_statistics == "batch")
    losses = seeded(lambda: learner(batch))
    losses["loss"].backward()
    wanted = reference(pixels[:, :-1], pixels[:, -1], relative)
    wanted["loss"].backward()
    same(losses["loss"], wanted["loss"])
    renamed = seq_jepa.from_official(gradients(reference), config, spec).model.state_dict()
    for name, parameter in learner.model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.abs().max() > 0
            same(parameter.grad, renamed[name])
    for x in (learner, reference):
        torch.optim.SGD([p for p in x.parameters() if p.requires_grad], 0.1).step()
    learner.update_target(0)
    reference.follow(0.996)
    theirs = seq_jepa.from_official(reference.state_dict(), config, spec).model.state_dict()
    for name, value in learner.model.state_dict().items():
        averaged = config.target_statistics == "averaged" and name.startswith("target") and "running" in name
        if not averaged and "num_batches" not in name:
            same(value, theirs[name])


def seeded(call: Callable[[], Any]) -> Any:
    """The same views are drawn each time."""
    torch.manual_seed(7)
    return call()


def in_double(views: ViewFunction) -> ViewFunction:
    """The same views, their actions in double precision as the model."""

    def made(batch: TensorDict, generator: torch.Generator | None = None) -> Views:
        found = views(batch, generator)
        return replace(found, query=found.query.double())

    return made


@pytest.mark.parametrize("variant", ["released", "mended", "averaged"])
@pytest.mark.parametrize("observed", [1, 3])
def test_a_step_on_rotations_is_the_published_one(variant, observed) -> None:
    torch.manual_seed(0)
    statistics = "averaged" if variant == "averaged" else "batch"
    config = replace(SMALL, observed=observed, target_statistics=statistics)
    config = released(config) if variant == "released" else config
    batch = batch_of(observed + 1)
    reference = Reference(4, unused="keep" if variant == "released" else "skip")
    check_step(reference, config, SPEC, batch, lambda: told_as(config, batch))


def told_as(config: seq_jepa.Config, batch: TensorDict) -> tuple[Tensor, Tensor]:
    pixels, relative = told_of(batch)
    return pixels, torch.where(relative[..., 3:] < 0, -relative, relative) if config.canonical else relative


@pytest.mark.parametrize(
    ("tokens", "head", "unused"),
    [(True, False, "skip"), (True, False, "keep"), (False, True, "skip"), (False, False, "skip")],
)
def test_a_step_told_fewer_actions_is_the_published_one(tokens, head, unused) -> None:
    torch.manual_seed(0)
    config = replace(SMALL, condition_tokens=tokens, condition_predictor=head, unused_action=unused)
    batch = batch_of(4)
    reference = Reference(4, tokens=tokens, head=head, unused=unused)
    check_step(reference, config, SPEC, batch, lambda: told_as(config, batch))


@pytest.mark.parametrize("unused", ["zero", "skip"])
@pytest.mark.parametrize(
    ("preset", "normalize"),
    [
        (seq_jepa.cifar, True),
        (seq_jepa.cifar, False),
        (seq_jepa.tiny_imagenet, True),
        (seq_jepa.tiny_imagenet, False),
        (seq_jepa.saccades, False),
    ],
)
def test_a_step_on_pictures_is_the_published_one(preset, normalize, unused) -> None:
    torch.manual_seed(0)
    patches = preset is seq_jepa.saccades
    config = replace(released(preset()), **NARROW, unused_action=unused, normalize_parameters=normalize)
    config = replace(config, view_size=16) if patches else config
    assert (config.stem, config.observed) == ("standard" if preset is seq_jepa.tiny_imagenet else "small", 3 + patches)
    batch = pictures()
    views = seq_jepa.build(config, PICTURES)[0].views

    def told() -> tuple[Tensor, Tensor]:
        made = seeded(lambda: views.views_of(batch, config.observed + 1))
        absolute = made["parameters"].double()
        assert absolute.shape[2] == (2 if patches else 9)
        if normalize:
            absolute = absolute / absolute.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return standardised(made["obs", "image"], config.pixels), absolute[:, 1:] - absolute[:, :-1]

    reference = Reference(2 if patches else 9, small=config.stem == "small", unused=unused)
    check_step(reference, config, PICTURES, batch, told)


def pictures(rows: int = 6) -> TensorDict:
    torch.manual_seed(3)
    obs = {
        "image": torch.randint(256, (rows, 1, SIZE, SIZE, 3), dtype=torch.uint8),
        "saliency": torch.randint(256, (rows, 1, SIZE, SIZE, 1), dtype=torch.uint8),
    }
    nothing = {"action": torch.zeros(rows, 0, 0), "action_valid": torch.ones(rows, 0, dtype=torch.bool)}
    valid = torch.ones(rows, 1, dtype=torch.bool)
    return TensorDict({"obs": TensorDict(obs, [rows]), "valid": valid, **nothing}, [rows])


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module with gradients in the place of weights."""
    found = {name: value.clone() for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.clone()
    return found


def test_latents_and_aggregate_are_the_published_ones() -> None:
    torch.manual_seed(0)
    reference = Reference(4).double().eval()
    with torch.no_grad():
        for config in (released(SMALL), replace(SMALL, canonical=False)):
            learner = seq_jepa.from_official(reference.state_dict(), config, SPEC).double()
            batch = batch_of(4)
            pixels, relative = told_of(batch)
            wanted = reference(pixels[:, :-1], pixels[:, -1], relative)
            z = learner.encode(batch["obs"].select("image"))[:, :3]
            same(z[:, :, 0], wanted["z"])
            same(learner.model.predictor.aggregate(z, relative), wanted["aggregate"])


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
    raw = Reference(4, head=False, embed=4).state_dict()  # told actions as they are: tokens wider, no embedding
    raw = {k: v for k, v in raw.items() if not k.startswith("action_proj")}
    with pytest.raises(ValueError, match=r"missing \['predictor.action.0.weight'.* of another shape"):
        seq_jepa.from_official(raw, SMALL, SPEC)
    with pytest.raises(ValueError, match='expected trunk="resnet"'):
        seq_jepa.from_official(state, replace(SMALL, trunk="conv"), SPEC)


def test_an_embedding_that_is_not_used_is_left_out() -> None:
    """As SeqJEPA_PLS keeps one where it is told no actions."""
    untold = replace(SMALL, condition_tokens=False, condition_predictor=False)
    state = Reference(4, tokens=False, head=False).state_dict()
    unused = {k: v for k, v in Reference(4).state_dict().items() if k.startswith("action_proj")}
    assert len(unused) == 4
    learner = seq_jepa.from_official(state | unused, untold, SPEC)
    assert learner.model.predictor.action is None
    with pytest.raises(ValueError, match="of another shape"):
        seq_jepa.from_official(Reference(4).state_dict(), untold, SPEC)
