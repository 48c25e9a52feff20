"""ACT-JEPA: the published sizes, the baseline it contains, cameras as input and as target, what is refused."""

from dataclasses import replace

import pytest
import torch
from tensordict import TensorDict
from toys import IMAGES, SPEC, TINY, present, toy_batch, toy_learner, train

from worldjepa.commands.train import parse
from worldjepa.commands.training import with_momentum_steps
from worldjepa.encoders import ViT
from worldjepa.objectives import ActionChunk
from worldjepa.recipes import act_jepa, make_learner, recipe
from worldjepa.recipes.keys import Window
from worldjepa.types import DataSpec, ObsSpec, nested

PUSHT = DataSpec({"agent_pos": ObsSpec((2,), "float32"), "image": ObsSpec((96, 96, 3), "uint8")}, action_dim=2)
VARIANTS = {
    "resnet": IMAGES,
    "vit": replace(IMAGES, trunk="vit"),
    "predicts images": replace(IMAGES, target_keys=("block", "image")),
    "predicts images, told actions": replace(IMAGES, target_keys=("image",), action_conditioned=True),
    "images alone": replace(IMAGES, state_keys=()),
    "stride": replace(TINY, horizon=4, stride=2),
    "stride, told actions": replace(TINY, horizon=4, stride=2, action_conditioned=True),
    "perceptron": replace(TINY, head="mlp", head_hidden=(16,)),
    "pre-norm, hidden state layer": replace(TINY, norm="pre", state_hidden=8),
}


def read_by(config: act_jepa.Config, batch: TensorDict) -> TensorDict:
    """The batch with only those observations that the recipe asks for."""
    batch["obs"] = batch["obs"].select(*[nested(key) for key in act_jepa.window(config, SPEC).keys])
    return batch


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_published_model_has_the_published_size() -> None:
    """arXiv 2501.14622 as released: 11.18 M trunk, 12.60 M encoder transformer, 1.19 M predictor, 4.22 M action
    decoder, 29.5 M trainable. Ours has biases in the feed-forward layers and no embedding of the task."""
    torch.set_default_device("meta")
    try:
        model, objective = act_jepa.build(act_jepa.paper(), PUSHT)
    finally:
        torch.set_default_device("cpu")
    encoder, predictor = model.encoder, model.predictor
    trunk, projection = encoder.images["image"].trunk, encoder.images["image"].project
    head = objective.term(ActionChunk).head
    transformer = count(encoder.blocks) + count(encoder.norm)
    assert count(trunk) == 11_176_512
    assert transformer == pytest.approx(12.60e6, rel=1e-3)
    assert transformer - 4 * (2048 + 512) == 12_600_320  # without those biases, to the last
    assert count(encoder) == pytest.approx(24.07e6, rel=1e-3)
    assert count(encoder) == count(trunk) + count(projection) + transformer + (2 * 512 + 512)
    assert count(predictor) == pytest.approx(1.19e6, rel=4e-3)
    assert count(head) == pytest.approx(4.22e6, rel=1e-3)
    trainable = count(encoder) + count(predictor) + count(head)
    assert trainable == pytest.approx(29.5e6, rel=2e-3)
    assert count(model.target) == transformer + 2 * 512 + 512  # no copy of the camera trunk


def test_the_published_model_has_the_published_shape() -> None:
    config = with_momentum_steps(act_jepa.paper(), 10_000)
    torch.set_default_device("meta")
    try:
        model, objective = act_jepa.build(config, PUSHT)
    finally:
        torch.set_default_device("cpu")
    assert model.encoder.num_tokens == 1 + 3 * 3  # the state, and a 96 px image at stride 32
    assert (model.encoder.dim, len(model.encoder.blocks), len(model.predictor.blocks)) == (512, 4, 4)
    assert model.predictor.query.shape == (30, 1, 128)  # the released window of 30 states begins at the present
    head = objective.term(ActionChunk).head
    assert (head.query.shape, len(head.blocks)) == ((30, 512), 1)
    assert model.target.encoder.keys == ("agent_pos",)
    assert act_jepa.window(config, PUSHT) == Window(1, 30, 1, ("agent_pos", "image"))
    blocks = [*model.encoder.blocks, *model.predictor.blocks, *head.blocks]
    assert {(b.pre, b.attention.num_heads, b.drop.p) for b in blocks} == {(False, 8, 0.1)}
    momentum = model.target.momentum
    assert (momentum(0), momentum(5000), momentum(10_000)) == (0.996, pytest.approx(0.998), 1.0)
    assert objective.weights == [1.0, 1.0]


@pytest.mark.parametrize("config", [TINY, IMAGES], ids=["states", "images"])
def test_act_is_act_jepa_whose_latent_loss_counts_nothing(config) -> None:
    """Bit for bit, over several optimiser steps: a baseline differs from its method in the method alone."""
    batches = [toy_batch(images=bool(config.image_keys), seed=i) for i in range(4)]
    act = toy_learner(act_jepa.act(config), name="act")
    jepa = toy_learner(replace(config, jepa_weight=1e-9))
    jepa.objective.weights[1] = 0.0
    assert act.model.predictor is None
    act_losses, jepa_losses = train(act, batches), train(jepa, batches)
    assert [row["loss"] for row in act_losses] == [row["loss"] for row in jepa_losses]
    assert len({row["latent_l1"] for row in jepa_losses}) == 4
    trained = jepa.state_dict()
    for name, value in act.state_dict().items():
        assert torch.equal(value, trained[name]), name


def test_the_steps_of_a_rising_momentum_are_those_of_the_training() -> None:
    paper, small = act_jepa.paper(), act_jepa.small()
    assert with_momentum_steps(paper, 700) == replace(paper, momentum_steps=700)
    assert with_momentum_steps(replace(paper, momentum_steps=9), 700).momentum_steps == 9
    assert with_momentum_steps(small, None) == small, "its momentum stays the same"
    with pytest.raises(ValueError, match=r"give --model\.momentum-steps"):
        with_momentum_steps(paper, None)


def test_the_command_in_the_preset_is_the_published_training() -> None:
    assert act_jepa.paper.__doc__
    words = act_jepa.paper.__doc__.split("worldjepa train ")[1].split("worldjepa evaluate")[0].split()
    options = parse(words)
    assert options.model == act_jepa.paper()
    fit = options.fit
    assert (fit.steps, fit.batch_size, fit.warmup / fit.steps) == (4000, 128, 0.04)
    assert (fit.lr, fit.lr_final, fit.weight_decay, fit.grad_clip, fit.average) == (6e-4, 0.0, 0.1, 1.0, 0.0)


def test_the_baseline_refuses_a_latent_weight() -> None:
    with pytest.raises(ValueError, match="jepa_weight must be 0"):
        toy_learner(replace(TINY, jepa_weight=3.0), name="act")


def test_the_target_of_a_step_may_see_that_step_alone() -> None:
    batch = toy_batch()
    later = batch.clone()
    last = TINY.history - 1 + TINY.horizon
    for key in later["obs"].keys(include_nested=True, leaves_only=True):
        later["obs"][key][:, last:] += 1
    for sees, changes in (("window", True), ("step", False)):
        learner = toy_learner(replace(TINY, target_sees=sees)).eval()
        with torch.no_grad():
            first, second = (learner.model(learner.normalizer(b)).target for b in (batch, later))
        assert torch.equal(first[:, :-1], second[:, :-1]) is not changes
        assert not torch.equal(first[:, -1], second[:, -1])


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_learns(config) -> None:
    """Some steps on one batch lower both losses; all weights that are trained receive gradients."""
    learner = toy_learner(config)
    losses = train(learner, [read_by(config, toy_batch(rows=4, images=True))] * 12, lr=6e-3)
    assert losses[-1]["action_l1"] < 0.8 * losses[0]["action_l1"]
    assert losses[-1]["latent_l1"] < 0.9 * losses[0]["latent_l1"]
    idle = [n for n, p in learner.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # torch gives the key biases of attention no gradient but rounding: softmax does not see them.
    assert [name for name in idle if not name.endswith("kv.bias")] == []


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_windows_are_as_long_as_needed_and_no_longer(config) -> None:
    need = act_jepa.window(config, SPEC)
    learner = toy_learner(config).eval()
    batch = read_by(config, toy_batch(rows=2, steps=need.history - 1 + need.horizon, images=True))
    if "image" in need.keys:
        batch["obs", "image"] = batch["obs", "image"][:, : need.image_frames]
    learner(batch)
    shorter = read_by(config, toy_batch(rows=2, steps=need.history - 2 + need.horizon, images=True))
    with pytest.raises(ValueError, match="lengthen"):
        learner(shorter)


def test_images_of_the_future_are_loaded_only_if_they_are_predicted() -> None:
    predicts = replace(IMAGES, target_keys=("image",))
    assert act_jepa.window(IMAGES, SPEC).image_frames == 2
    assert act_jepa.window(predicts, SPEC).image_frames == 5
    assert act_jepa.window(replace(predicts, jepa_weight=0.0), SPEC).image_frames == 2


def gradient(learner, name: str) -> dict[str, torch.Tensor]:
    parameters = dict(learner.model.encoder.named_parameters())
    loss = learner(toy_batch(images=True))[name]
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(parameters.items(), found)}


@pytest.mark.parametrize("loss", ["action_l1", "latent_l1"])
def test_both_losses_train_all_of_the_encoder(loss) -> None:
    found = gradient(toy_learner(IMAGES), loss)
    assert [name for name, value in found.items() if not value.any()] == []


def test_the_loss_sums_both_gradients() -> None:
    learner = toy_learner(replace(IMAGES, jepa_weight=0.3)).eval()
    action, latent, both = (gradient(learner, name) for name in ("action_l1", "latent_l1", "loss"))
    for name, value in both.items():
        torch.testing.assert_close(value, action[name] + 0.3 * latent[name], rtol=1e-4, atol=1e-6)


def test_a_predicted_cameras_statistics_follow_training() -> None:
    """Batch-norm buffers of the target's trunk: averaged with the momentum, counters copied."""
    learner = toy_learner(replace(IMAGES, target_keys=("image",), momentum=0.5, momentum_end=0.5))
    online = learner.model.encoder.images["image"].trunk.stem[1]
    target = learner.model.target.encoder.images["image"].trunk.stem[1]
    expected = target.running_mean.clone()
    for seed in range(3):
        train(learner, [toy_batch(images=True, seed=seed)])
        expected = 0.5 * expected + 0.5 * online.running_mean
        torch.testing.assert_close(target.running_mean, expected)
    assert target.num_batches_tracked == online.num_batches_tracked == 3
    assert online.running_mean.abs().max() > 1e-4


def test_a_camera_target_reads_only_what_it_is_told_to() -> None:
    learner = toy_learner(replace(IMAGES, target_keys=("image",))).eval()
    batch = learner.normalizer(toy_batch(images=True))
    before = learner.model(batch).target
    batch["obs", "block"] += 1.0
    assert torch.equal(learner.model(batch).target, before)
    batch["obs", "image"] = 255 - batch["obs", "image"]
    assert not torch.allclose(learner.model(batch).target, before)


def test_empty_keys_mean_all_states_and_targets_mean_all_that_is_seen() -> None:
    assert act_jepa.resolve_keys(TINY, SPEC) == (("agent/pos", "block"), ("agent/pos", "block"))
    images = replace(TINY, image_keys=("image",))
    assert act_jepa.resolve_keys(images, SPEC) == ((), ("image",))
    assert act_jepa.resolve_keys(replace(images, state_keys=("block",)), SPEC) == (("block",), ("block",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state_keys": ("pose",)}, r"no observation 'pose'; it has \['agent/pos', 'block', 'image'\]"),
        ({"state_keys": ("image",)}, "is of kind image, the configuration uses it as state"),
        ({"image_keys": ("block",)}, "is of kind state, the configuration uses it as image"),
        ({"target_keys": ("image",)}, "must be among the policy's observations"),
        ({"relative_to": "block"}, "cannot be counted from 'block'"),
        ({"relative_to": "pose"}, "none of the policy's states"),
        ({"image_keys": ("image",), "trunk": "cnn"}, "trunk must be"),
        ({"head": "linear"}, "head must be"),
        ({"norm": "batch"}, "norm must be"),
        ({"distance": "l3"}, "kind must be one of"),
        ({"normalization": "max"}, "mode must be"),
        ({"num_heads": 3}, "does not divide"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"history": 0}, "history and horizon of at least 1"),
        ({"horizon": 3, "stride": 2}, "stride"),
        ({"momentum": 1.5}, "momentum must lie in"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        toy_learner(replace(TINY, **changes))


def test_statistics_of_every_needed_key_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"statistics of \['agent/pos', 'action'\] are missing"):
        make_learner("act_jepa", TINY, SPEC, {"block": None})  # pyright: ignore[reportArgumentType]


def test_presets_build() -> None:
    assert set(recipe("act_jepa").presets) == set(recipe("act").presets) == {"paper", "small"}
    learner = toy_learner(act_jepa.small())
    batch = toy_batch(rows=2, steps=17)
    assert learner(batch)["loss"].isfinite()
    assert learner.actions(present(batch, 2)).shape == (2, 16, 2)


def test_the_vit_is_the_one_asked_for() -> None:
    trunk = toy_learner(replace(IMAGES, trunk="vit", vit_patch=8)).model.encoder.images["image"].trunk
    assert isinstance(trunk, ViT)
    assert trunk.grid == (4, 4)
