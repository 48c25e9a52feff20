"""World models: what they may look at, what they learn from, their windows, units and files."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import Tensor
from toys import SPEC, toy_batch, toy_statistics
from worlds import world_model, write_world

from worldjepa.data import Store, WindowSampler
from worldjepa.learner import Learner
from worldjepa.recipes import ac_jepa, fit_statistics, from_pretrained, make_learner, save_pretrained
from worldjepa.types import nested

SMALL: dict[str, Any] = {"dim": 16, "state_dim": 16, "state_hidden": 16, "trunk_width": 4, "sigreg_slices": 16}
SMALL |= {"predictor_layers": 1, "ffn_dim": 32, "num_heads": 2, "head_dim": 8, "vit_patch": 8, "vit_layers": 1}
SMALL |= {"vit_heads": 2, "history": 2, "horizon": 3}


def config(**changes: Any) -> ac_jepa.Config:
    return ac_jepa.Config(**{**SMALL, **changes})


def toy_world(**changes: Any) -> Learner:
    torch.manual_seed(0)
    statistics = toy_statistics()
    return make_learner("ac_jepa", config(**changes), SPEC, statistics)


def windows(learner: Learner, steps: int = 4) -> TensorDict:
    """A batch with what the learner reads, as `WindowSampler` would give it."""
    batch = toy_batch(steps=steps, images=True)
    batch["obs"] = batch["obs"].select(*(nested(key) for key in learner.model.encoder.keys))
    stride = learner.origin.config.stride
    batch["action"] = torch.randn(4, steps, 2 * stride, generator=torch.Generator().manual_seed(1))
    return batch


INPUTS: dict[str, dict[str, Any]] = {
    "states": {},
    "images": {"image_keys": ("image",)},
    "both": {"image_keys": ("image",), "state_keys": ("agent/pos",)},
    "map": {"image_keys": ("image",), "state_keys": ("agent/pos",), "tokens": "map"},
    "resnet": {"image_keys": ("image",), "trunk": "resnet", "projector": 16},
    "vit": {"image_keys": ("image",), "trunk": "vit", "tokens": "map", "conditioning": "concat"},
    "class token": {"image_keys": ("image",), "trunk": "vit_cls", "norm": True},
    "recurrent": {"predictor": "recurrent"},
    "gru": {"predictor": "gru"},
    "impala": {"image_keys": ("image",), "trunk": "impala", "predictor": "gru", "norm": True, "shared_norm": True},
}
PLDM = INPUTS["impala"]
inputs = pytest.mark.parametrize("changes", INPUTS.values(), ids=INPUTS.keys())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_world(tmp_path_factory.mktemp("world") / "data.hdf5", images=True)


def stirred(learner: Learner) -> Learner:
    """AdaLN starts as the identity, whatever the action: give its weights values."""
    for name, parameter in learner.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return learner


def changed(batch: TensorDict, frame: int, action: bool) -> TensorDict:
    """The batch with other values in one frame, or in the action that follows it."""
    other = batch.clone()
    if action:
        other["action"][:, frame] += 1.0
        return other
    for key in other["obs"].keys(include_nested=True, leaves_only=True):
        value = other["obs", key] if isinstance(key, str) else other[("obs", *key)]
        value[:, frame] = 255 - value[:, frame] if value.dtype == torch.uint8 else value[:, frame] + 1.0
    return other


@inputs
def test_a_frame_is_encoded_alone_and_predicted_from_what_came_before(changes: dict) -> None:
    learner = stirred(toy_world(**changes)).eval()
    batch = windows(learner)

    def run(batch: TensorDict) -> tuple[Tensor, Tensor]:
        prediction = learner.model(learner.normalizer(batch))
        assert prediction.predicted is not None
        return prediction.context, prediction.predicted

    with torch.no_grad():
        context, predicted = run(batch)
        for frame in range(5):
            other, guess = run(changed(batch, frame, action=False))
            moved = (other - context).abs().amax((0, 2, 3)) > 1e-5
            assert moved.tolist() == [t == frame for t in range(5)]
            assert torch.equal(guess[:, :frame], predicted[:, :frame])  # of frames 1 .. frame
            assert frame == 4 or (guess[:, frame] - predicted[:, frame]).abs().max() > 1e-5
        for frame in range(4):
            other, guess = run(changed(batch, frame, action=True))
            assert torch.equal(other, context)
            assert torch.equal(guess[:, :frame], predicted[:, :frame])
            assert (guess[:, frame] - predicted[:, frame]).abs().max() > 1e-5


@inputs
def test_every_weight_is_learned(changes: dict) -> None:
    terms = {"sigreg": 0.1, "inverse": 1.0, "open_loop": 1.0, "variance": 1.0, "covariance": 1.0, "similarity": 1.0}
    learner = stirred(toy_world(**changes, **terms)).train()
    learner(windows(learner))["loss"].backward()
    lost = [name for name, p in learner.named_parameters() if p.grad is None or not p.grad.any()]
    # The one before a batch norm, or of keys, cancels; the last frame's attention is on itself alone at no step.
    assert [name for name in lost if not name.endswith("bias")] == []


@pytest.mark.parametrize("target", ["shared", "stop", "ema"])
def test_the_target_gets_the_gradient_that_it_should(target: str) -> None:
    """Only a shared target passes the prediction's gradient to the last frame, which is a target and nothing else."""
    learner = toy_world(target=target).train()
    batch = learner.normalizer(windows(learner))
    frames = batch["obs", "block"].requires_grad_()
    learner.objective(learner.model(batch), batch)["loss"].backward()
    assert frames.grad is not None
    assert bool(frames.grad[0, 4].any()) == (target == "shared")
    assert frames.grad[0, 3].any()
    before = learner.model.target(learner.model.views(batch).target)  # pyright: ignore[reportOptionalCall]
    with torch.no_grad():
        for parameter in learner.model.encoder.parameters():  # pyright: ignore[reportAttributeAccessIssue]
            parameter += 0.1
    learner.update_target(0)
    after = learner.model.target(learner.model.views(batch).target)  # pyright: ignore[reportOptionalCall]
    own = learner.model.encode(batch["obs"])[:, 1:]
    assert torch.allclose(after, own, atol=1e-6) == (target != "ema")
    assert not torch.equal(after, before)


def test_a_norm_that_is_shared_stays_so() -> None:
    """One pair of weights in the model, in its copy and in a loaded one; further predictors have their own."""
    learner = toy_world(**PLDM, ensemble=2)
    for model in (learner.model, copy.deepcopy(learner).model):
        assert model.predictor.norm is model.encoder.norm  # pyright: ignore
    names = [name for name, _ in learner.named_parameters() if "norm" in name]
    own = [f"objective.terms.1.predictors.{i}.norm.{x}" for i in range(2) for x in ("weight", "bias")]
    assert names == ["model.encoder.norm.weight", "model.encoder.norm.bias", *own]


@pytest.mark.parametrize("stride", [1, 3])
def test_windows_statistics_and_widths_agree_on_the_stride(store: Store, stride: int) -> None:
    made = config(image_keys=("image",), state_keys=("p",), stride=stride)
    window = ac_jepa.window(made, store.spec)
    batch = WindowSampler(store, episodes=range(9), batch_size=4, **window.options()).batch(0)
    assert batch["obs", "p"].shape == (4, 5, 2)
    assert batch["obs", "image"].shape[:2] == (4, 5)
    assert batch["action"].shape == (4, 4, 2 * stride)
    assert batch["valid"].all()
    assert batch["action_valid"].all()
    learner = make_learner("ac_jepa", made, store.spec, fit_statistics(made, store, range(9)))
    shift = learner.normalizer.shift_action
    assert torch.equal(shift, shift[:2].repeat(stride))
    steps = batch["action"].unflatten(-1, (stride, 2)).sum(2)  # p' = p + a / 10
    torch.testing.assert_close(batch["obs", "p"].diff(dim=1), steps / 10, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(learner(batch)["loss"])


@inputs
@pytest.mark.parametrize("stride", [1, 2])
def test_a_rollout_in_raw_units_is_the_models_in_its_own(changes: dict, stride: int) -> None:
    learner = stirred(toy_world(**changes, stride=stride)).eval()
    obs = windows(learner)["obs"].apply(lambda x: x[:, :2])
    action = torch.randn(4, 4, 2 * stride)
    with torch.no_grad():
        raw = learner.rollout(obs, action)
        told = action.unflatten(-1, (stride, 2))
        mean, std = (torch.as_tensor(getattr(toy_statistics()["action"], x)).float() for x in ("mean", "std"))
        own = learner.model.rollout(learner.encode(obs), ((told - mean) / std).flatten(2))
    torch.testing.assert_close(raw, own, rtol=1e-5, atol=1e-6)
    assert raw.shape[:2] == (4, 3)


@inputs
def test_a_saved_model_comes_back_to_the_last_bit(changes: dict, tmp_path: Path) -> None:
    learner = stirred(toy_world(**changes, stride=2, target="ema", ensemble=2)).eval()
    loaded = from_pretrained(save_pretrained(learner, tmp_path), recipe="ac_jepa")
    assert loaded.origin == learner.origin
    theirs = loaded.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in learner.state_dict().items())
    obs = windows(learner)["obs"].apply(lambda x: x[:, :2])
    action = torch.randn(4, 4, 4)
    assert torch.equal(loaded.rollout(obs, action), learner.rollout(obs, action))


def linear_windows(rows: int, steps: int, seed: int) -> TensorDict:
    """x' = A x + B a: a rotation that is pushed."""
    rng = np.random.default_rng(seed)
    turn = 0.95 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    x, action = [rng.normal(size=(rows, 2))], rng.normal(size=(rows, steps, 2))
    for t in range(steps):
        x.append(x[-1] @ turn.T + 0.5 * action[:, t])
    pos = torch.tensor(np.stack(x, 1), dtype=torch.float32)
    obs = TensorDict({"agent": TensorDict({"pos": pos}, batch_size=[rows])}, batch_size=[rows])
    valid = {"valid": torch.ones(rows, steps + 1).bool(), "action_valid": torch.ones(rows, steps).bool()}
    told = {"obs": obs, "action": torch.tensor(action, dtype=torch.float32)}
    return TensorDict({**told, **valid}, batch_size=[rows])


def learned(steps: int, **changes: Any) -> Learner:
    """Steps of Adam on a linear system, from 1 frame to 4 further ones."""
    options: dict[str, Any] = {"state_keys": ("agent/pos",), "predictor": "recurrent", "history": 1, "horizon": 4}
    torch.manual_seed(0)
    made = config(**{**options, **changes, "normalization": "identity", "sigreg_slices": 16})
    learner = make_learner("ac_jepa", made, SPEC, toy_statistics()).train()
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=5e-3)
    for step in range(steps):
        loss = learner(linear_windows(64, 4, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.update_target(step)
    return learner.eval()


def spread(learner: Learner) -> float:
    with torch.no_grad():
        return float(learner.encode(linear_windows(256, 4, 999)["obs"]).flatten(0, 2).std(0).mean())


def test_it_learns_a_linear_system_and_does_not_collapse() -> None:
    learner = learned(200, sigreg=0.1, open_loop=1.0)
    batch = linear_windows(256, 4, 999)
    with torch.no_grad():
        z = learner.encode(batch["obs"])
        imagined = learner.rollout(batch["obs"].apply(lambda x: x[:, :1]), batch["action"])
    error = (imagined - z[:, 1:]).square().mean((0, 2, 3))
    copied = (z[:, :1] - z[:, 1:]).square().mean((0, 2, 3))
    assert (error < 0.2 * copied).all()
    assert spread(learner) > 0.3


def test_without_a_regulariser_it_collapses() -> None:
    assert spread(learned(120, open_loop=1.0)) < 0.1 * spread(learned(0, open_loop=1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_keys": ("image",), "trunk": "unet"}, "trunk must be \"conv\".*got 'unet'"),
        ({"target": "momentum"}, "target must be \"shared\".*got 'momentum'"),
        ({"predictor": "lstm"}, "predictor must be \"causal\".*got 'lstm'"),
        ({"conditioning": "film"}, "conditioning must be \"adaln\".*got 'film'"),
        ({"conditioning": "concat", "predictor_dim": 8}, "no projector: got predictor_dim 8"),
        ({"predictor": "gru", "shared_norm": True}, 'norm=True and predictor="gru".*got norm=False'),
        ({"norm": True, "shared_norm": True}, "got norm=True and predictor='causal'"),
        ({**PLDM, "tokens": "map"}, "over 16 tokens of 16 needs a layer norm of 256 features"),
        ({"covariance": 1.0, "covariance_per": "row"}, "covariance_per must be"),
        ({"image_keys": ("image",), "trunk": "features"}, "needs the frozen encoder it stands for"),
        ({"image_keys": ("camera",)}, "no observation 'camera'"),
        ({"state_keys": ("image",)}, "of kind image, the configuration uses it as state"),
        ({"image_keys": ("image",), "trunk": "vit", "vit_patch": 7}, "patches of 7 pixels do not tile"),
        ({"open_loop": 1.0, "open_loop_steps": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_world(**changes)


def too_far(learner: Learner) -> None:
    learner.rollout(windows(learner)["obs"].apply(lambda x: x[:, :2]), torch.zeros(4, 5, 2))


def too_short(learner: Learner) -> None:
    learner(windows(learner, steps=3))


@pytest.mark.parametrize(
    ("use", "message"),
    [(too_far, "needs a context_length of 5, this predictor has 4"), (too_short, "windows of 5 frames")],
)
def test_what_it_cannot_do_is_refused(use: Callable[[Learner], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use(toy_world())


def test_a_checkpoint_without_statistics_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_pretrained(toy_world(stride=2), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["normalizer.shift_action"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="holds no normalisation statistics"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["small", "states"])
def test_the_small_presets_have_the_terms_that_they_name(store: Store, name: str) -> None:
    """One step of training each; `worlds.world_model` is how other tests build theirs."""
    preset = {"small": ac_jepa.small, "states": ac_jepa.states}[name]()
    preset = replace(preset, horizon=4, state_keys=() if name == "small" else ("p",))
    learner = make_learner("ac_jepa", preset, store.spec, fit_statistics(preset, store, range(9)))
    options = ac_jepa.window(preset, store.spec).options()
    losses = learner(WindowSampler(store, episodes=range(9), batch_size=8, **options).batch(0))
    assert {"open_loop", "sigreg", "inverse", "temporal_variance", "loss"} == set(losses)
    assert torch.isfinite(losses["loss"])
    assert world_model(store).model.encoder.num_tokens == 1
