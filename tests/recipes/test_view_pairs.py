"""Two-view baselines as recipes: what they encode, learn from and ignore; training, saving and their settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pair_methods import NAMES, build_on_latents, latents
from tensordict import TensorDict
from toys import toy_statistics

from worldjepa.learner import Learner
from worldjepa.recipes import from_pretrained, make_learner, save_pretrained, seq_jepa, view_pairs
from worldjepa.recipes.view_pairs import PRESETS, Config
from worldjepa.targets import EMATarget
from worldjepa.types import DataSpec, ObsSpec

OBS = {"image": ObsSpec((16, 16, 3), "uint8"), "rotation": ObsSpec((4,), "float32"), "hue": ObsSpec((1,), "float32")}
SPEC = DataSpec(OBS, action_dim=5)
TOLD = ("cond_byol", "equimod", "sie")
"""Methods that are told the action."""
TINY = {
    **{"trunk": "conv", "trunk_width": 8, "difference_keys": ("hue",), "pixels": "unit"},
    **{"projector": (32, 32, 16), "hidden": 16, "action_embed": 8, "momentum_steps": 30},
}


def tiny(name: str, **changes) -> Config:
    return replace(PRESETS[name](), **(TINY | changes))


def learner_of(name: str, **changes) -> Learner:
    return make_learner("view_pairs", tiny(name, **changes), SPEC, toy_statistics(SPEC))


def view_sets(size: int = 16, seed: int = 0) -> TensorDict:
    """Objects are three colours; a quaternion turns a ramp of light on them, and the hue shifts one channel."""
    generator = torch.Generator().manual_seed(seed)
    colour = torch.rand(size, 1, 1, 1, 3, generator=generator)
    q = torch.nn.functional.normalize(torch.randn(size, 2, 4, generator=generator), dim=-1)
    q = torch.where(q[..., 3:] < 0, -q, q)
    hue = torch.rand(size, 2, 1, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    ramp = q[..., 0, None, None] * x + q[..., 1, None, None] * y + q[..., 2, None, None] * x * y
    shift = hue[..., None, None] * torch.tensor([0.0, 0.0, 0.5])
    image = (255 * (colour * (0.6 + 0.4 * ramp[..., None]) + shift).clamp(0, 1)).to(torch.uint8)
    obs = TensorDict({"image": image, "rotation": q, "hue": hue}, batch_size=[size])
    valid, acted = torch.ones(size, 2, dtype=torch.bool), torch.zeros(size, 1, dtype=torch.bool)
    batch = {"obs": obs, "action": torch.zeros(size, 1, 5), "valid": valid, "action_valid": acted}
    return TensorDict(batch, batch_size=[size])


def train(learner: Learner, num_steps: int) -> list[float]:
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for step in range(num_steps):
        loss = learner(view_sets(seed=step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.update_target(step)
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("name", NAMES)
def test_thirty_steps_lower_the_loss(name) -> None:
    losses = train(learner_of(name), 30)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3]), losses


@pytest.mark.parametrize("name", NAMES)
def test_latents_are_those_before_the_projector(name) -> None:
    learner = learner_of(name).eval()
    obs = view_sets(4)["obs"]
    z = learner.encode(obs)
    assert z.shape == (4, 2, 1, learner.model.encoder.dim)  # pyright: ignore[reportAttributeAccessIssue]
    trunk = learner.model.encoder.trunks["image"]  # pyright: ignore
    pixels = obs["image"].flatten(0, 1).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(z.flatten(0, 2), trunk(pixels))  # pyright: ignore[reportCallIssue]
    heads = [p for n, p in learner.named_parameters() if not n.startswith("model.encoder.")]
    assert heads
    with torch.no_grad():
        for parameter in heads:
            parameter.add_(1.0)
    assert torch.equal(learner.encode(obs), z)


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_learner_comes_back_to_the_last_bit(name, tmp_path) -> None:
    learner = learner_of(name)
    train(learner, 2)
    loaded = from_pretrained(save_pretrained(learner, tmp_path), recipe="view_pairs")
    learner.eval()
    theirs = loaded.state_dict()
    assert learner.state_dict().keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in learner.state_dict().items())
    assert loaded.origin == learner.origin
    batch = view_sets(seed=9)
    assert torch.equal(loaded(batch)["loss"], learner(batch)["loss"])
    assert torch.equal(loaded.encode(batch["obs"]), learner.encode(batch["obs"]))
    assert train(loaded.train(), 2) == train(learner.train(), 2)  # projectors and averages are still tied


@pytest.mark.parametrize("name", NAMES)
def test_the_action_matters_where_it_is_told_and_nowhere_else(name) -> None:
    learner = learner_of(name).eval()
    batch, turned = view_sets(), view_sets()
    turned["obs", "hue"] = turned["obs", "hue"].roll(1, 0)  # the same images
    before, after = learner(batch), learner(turned)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    expected = {
        "cond_byol": {"latent_cosine"},
        "equimod": {"equivariance_nt_xent"},
        "sie": {"equivariance_latent_l2", "predicted_variance"},
    }
    assert changed == (expected[name] | {"loss"} if name in TOLD else set())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_flow_through_both_views_or_stop(name) -> None:
    model, objective = build_on_latents(name)
    batch = latents()
    batch["z"].requires_grad_()
    prediction = model(batch)
    (gradient,) = torch.autograd.grad(objective(prediction, batch)["loss"], batch["z"])
    first, second = (gradient.abs().sum((0, 2)) > 0).tolist()
    assert first
    assert second == (name != "cond_byol")  # which reads the second view with its average alone
    assert prediction.target.requires_grad == ("byol" not in name)
    assert isinstance(model.target, EMATarget) == ("byol" in name)


@pytest.mark.parametrize("name", NAMES)
def test_collapse_is_worse_than_spread_unless_it_is_left_to_the_target(name) -> None:
    """All latents the same: the contrastive and the regularised losses are higher than on different ones."""
    model, objective = build_on_latents(name)
    model.eval()
    spread, collapsed = latents(), latents()
    spread["z"][:, 1] = spread["z"][:, 0]  # views that agree
    collapsed["z"][:] = 1.0
    high, low = (objective(model(batch), batch)["loss"] for batch in (collapsed, spread))
    assert "byol" in name or high > low


@pytest.mark.parametrize("name", ["byol", "cond_byol"])
def test_the_average_follows_encoder_and_projector(name) -> None:
    learner = learner_of(name, momentum=0.5, momentum_end=0.5)
    target, predictor = learner.model.target, learner.model.predictor
    assert isinstance(target, EMATarget)
    pairs = [
        (dict(target.encoder.encoder.named_parameters()), dict(learner.model.encoder.named_parameters())),  # pyright: ignore
        (dict(target.encoder.projector.named_parameters()), dict(predictor.projector.named_parameters())),  # pyright: ignore
    ]
    with torch.no_grad():
        for _, online in pairs:
            for parameter in online.values():
                parameter.add_(1.0)
    learner.update_target(0)
    for average, online in pairs:
        assert average.keys() == online.keys()
        for key, value in average.items():
            torch.testing.assert_close(online[key] - value, torch.full_like(value, 0.5))


@pytest.mark.parametrize(("name", "calls"), [("simclr", 1), ("vicreg", 1), ("equimod", 1), ("sie", 1), ("byol", 1)])
def test_both_views_pass_the_encoder_once(name, calls) -> None:
    learner, seen = learner_of(name), []
    encoder = learner.model.encoder
    encoder.register_forward_hook(lambda *args: seen.append(args[1][0].shape))  # pyright: ignore
    learner(view_sets(4))
    assert [tuple(shape) for shape in seen] == [(4, 2)] * calls


@pytest.mark.parametrize("name", NAMES)
def test_candidates_of_a_retrieval_are_what_training_compares(name) -> None:
    """The target by itself, as an evaluation calls it, gives what it gives from latents that are there already."""
    learner = learner_of(name).eval()
    batch = learner.normalizer(view_sets(4))
    views, prediction = learner.model.views(batch), learner.model(batch)
    torch.testing.assert_close(learner.model.target(views.target), prediction.target)  # pyright: ignore
    alone = learner.model.predictor(learner.model.encode(batch["obs"])[:, :1], views.query)  # pyright: ignore
    torch.testing.assert_close(alone[:, -1], prediction.predicted[:, -1])  # pyright: ignore


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("simclr", {"projector": (2048, 2048, 2048), "temperature": 0.5}),
        ("byol", {"projector": (2048, 2048, 2048), "hidden": 512, "momentum": 0.996, "momentum_end": 1.0}),
        ("cond_byol", {"projector": (2048, 2048, 2048), "hidden": 512, "action_embed": 128}),
        ("vicreg", {"projector": (2048, 2048, 2048), "invariance": 10.0, "variance": 10.0, "covariance": 1.0}),
        ("equimod", {"projector": (1024, 1024, 128), "temperature": 0.1, "action_embed": 128}),
        (
            "sie",
            {"projector": (1024,) * 3, "invariance": 10.0, "equivariance": 4.5, "variance": 10.0, "covariance": 1.0},
        ),
    ],
)
def test_presets_are_the_published_settings(name, values) -> None:
    config = PRESETS[name]()
    assert {key: getattr(config, key) for key in values} == values
    assert config.method == name


def test_a_baseline_sees_what_seq_jepa_sees() -> None:
    for sequence in (seq_jepa.small(), seq_jepa.threedie(), seq_jepa.cifar(), seq_jepa.saccades()):
        config = view_pairs.same_views(PRESETS["sie"](), sequence)
        shared = view_pairs.VIEWS_AND_TRUNK
        assert {k: getattr(config, k) for k in shared} == {k: getattr(sequence, k) for k in shared}
        assert config.temperature == PRESETS["sie"]().temperature
    small = view_pairs.small(PRESETS["equimod"]())
    assert (small.projector, small.trunk_width) == ((128, 128, 16), seq_jepa.small().trunk_width)
    assert view_pairs.window(small, spec_of(seq_jepa.small())) == seq_jepa.window(
        replace(seq_jepa.small(), observed=1), spec_of(seq_jepa.small())
    )


def spec_of(config: seq_jepa.Config) -> DataSpec:
    return replace(SPEC, obs=OBS | {key: ObsSpec((1,), "float32") for key in config.difference_keys})


def test_recorded_actions_join_consecutive_frames() -> None:
    learner = learner_of("sie", source="recorded", normalization="zscore")
    window = view_pairs.window(tiny("sie", source="recorded"), SPEC)
    assert (window.history, window.horizon, window.image_frames) == (1, 1, 2)
    batch = view_sets().exclude(("obs", "rotation"), ("obs", "hue"))
    batch["action_valid"][:] = True
    batch["action"] = torch.randn(16, 1, 5, generator=torch.Generator().manual_seed(0))
    before = learner(batch)
    batch["action"] = batch["action"] + 1.0
    after = learner(batch)
    assert before["equivariance_latent_l2"] != after["equivariance_latent_l2"]
    assert before["invariance_latent_l2"] == after["invariance_latent_l2"]


@pytest.mark.parametrize("name", NAMES)
def test_augmentations_of_one_picture_are_a_pair(name) -> None:
    """Their parameters are the action; both views come from one frame."""
    learner = learner_of(name, source="augmentations")
    assert view_pairs.window(tiny(name, source="augmentations"), SPEC).keys == ("image",)
    batch = TensorDict(
        {
            "obs": TensorDict({"image": view_sets(6)["obs", "image"][:, :1]}, batch_size=[6]),
            "action": torch.zeros(6, 0, 5),
            "valid": torch.ones(6, 1, dtype=torch.bool),
        },
        batch_size=[6],
    )
    losses = learner(batch)
    losses["loss"].backward()
    assert all(torch.isfinite(value) for value in losses.values())
    views = learner.model.views(batch, torch.Generator().manual_seed(0))
    assert views.context["image"].shape == (6, 2, 16, 16, 3)
    assert not torch.equal(views.context["image"][:, 0], views.context["image"][:, 1])
    assert views.query["action"].shape == (6, 1, 9)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        view_pairs.build(replace(tiny("sie"), method="dino"), SPEC)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="target_statistics must be"):
        view_pairs.build(tiny("byol", target_statistics="none"), SPEC)
