"""Open-loop imagination of world models, on a world whose future is known in closed form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import world_model, write_world

from worldjepa.data import Store, WindowSampler
from worldjepa.evaluate.imagine import imagination_report, imagine, latent_errors, state_names
from worldjepa.evaluate.latents import check_rollout, window_latents
from worldjepa.evaluate.linear_model import fit_linear_model
from worldjepa.evaluate.probe import ProbeWindows, probe_windows
from worldjepa.learner import Learner

STRIDE = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_world(tmp_path_factory.mktemp("imagine") / "points.hdf5", images=True)


def windows(store: Store, episodes: range, key: str = "image", history: int = 1, horizon: int = 4) -> ProbeWindows:
    return probe_windows(
        store,
        episodes,
        state_keys=("p",),
        keys=(key,),
        history=history,
        horizon=horizon,
        stride=STRIDE,
        images=key == "image",
        reference=range(9),
    )


def both(store: Store, **options) -> tuple[ProbeWindows, ProbeWindows]:
    return windows(store, range(9), **options), windows(store, range(9, 12), **options)


def train(learner: Learner, store: Store, steps: int) -> Learner:
    learner.train()
    config = learner.origin.config
    sampler = WindowSampler(
        store, episodes=range(9), batch_size=64, horizon=config.horizon, stride=config.stride, keys=("p",)
    )
    optimizer = torch.optim.AdamW(learner.parameters(), 3e-3)
    for step in range(steps):
        learner(sampler.batch(step))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return learner.eval()


def test_strided_windows_hold_blocks_of_actions_and_the_frames_between_them(store: Store) -> None:
    found = windows(store, range(9))
    raw = found.state * found.std + found.mean
    moved = found.action.reshape(*found.action.shape[:2], STRIDE, 2).sum(2).numpy() / 10
    np.testing.assert_allclose(np.diff(raw, axis=1), moved, atol=1e-5)
    torch.testing.assert_close(found.future["image"][:, 0], found.obs["image"][:, -1])
    assert found.stride == STRIDE


@pytest.mark.parametrize("predictor", ["causal", "recurrent"])
@pytest.mark.parametrize("history", [1, 2])
def test_imagined_latents_are_the_models_rollout_and_true_ones_the_encoders(
    store: Store, predictor: str, history: int
) -> None:
    learner = world_model(store, predictor=predictor, history=history)
    some = windows(store, range(9, 12), history=history)
    found = window_latents(learner, some)
    with torch.no_grad():
        z = learner.encode(some.future.select("image"))
        imagined = learner.rollout(some.obs, some.action)
    torch.testing.assert_close(found.true, z.flatten(2).double(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.imagined[:, 1:], imagined.flatten(2).double(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.imagined[:, 0], found.true[:, 0])
    assert found.action.shape == (len(some.obs), 4, 2 * STRIDE)


def test_a_trained_world_model_beats_copying_and_follows_the_actions(store: Store) -> None:
    learner = train(world_model(store, image_keys=(), state_keys=("p",)), store, 150)
    first, second = both(store, key="p")
    errors = imagine(learner, first, second).rmse()
    assert errors["decoder_rmse"] < errors["rmse"] < 0.5 * errors["copy_rmse"]
    flipped = replace(second, action=-second.action)
    assert imagine(learner, first, flipped).rmse()["rmse"] > 1.5 * errors["rmse"]


def test_the_linear_model_is_exact_where_the_world_is_linear_and_not_where_it_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = 0.4 * torch.randn(3, 3, generator=generator).double(), torch.randn(2, 3, generator=generator).double()
    action = torch.randn(50, 5, 2, generator=generator).double()

    def world(step) -> Tensor:
        z = [torch.randn(50, 3, generator=torch.Generator().manual_seed(1)).double()]
        for told in action.unbind(1):
            z.append(step(z[-1], told))
        return torch.stack(z, 1)

    linear = world(lambda z, told: z @ a + told @ b + 0.3)
    found = fit_linear_model(linear, action, alpha=1e-10)
    torch.testing.assert_close(found.rollout(linear[:, 0], action), linear, rtol=1e-5, atol=1e-5)
    bent = world(lambda z, told: (z @ a).abs() + told @ b)
    rollout = fit_linear_model(bent, action).rollout(bent[:, 0], action)
    assert 0.05 < float((rollout - bent).square().mean()) < float((bent[:, :1] - bent).square().mean())


def test_latent_errors_are_in_standard_deviations_of_the_truth() -> None:
    true = torch.randn(2000, 4, 3, generator=torch.Generator().manual_seed(0)).double() * 5
    found = latent_errors(true, mean=torch.zeros_like(true), copy=true[:, :1], exact=true)
    assert found["mean"] == pytest.approx([1, 1, 1], abs=0.05)
    assert found["copy"] == pytest.approx([2**0.5] * 3, abs=0.05)
    assert found["exact"] == [0, 0, 0]


def test_an_ensemble_tells_its_disagreement(store: Store) -> None:
    learner = world_model(store, ensemble=2)
    found = imagine(learner, *both(store))
    assert found.disagreement is not None
    assert (found.disagreement > 0).all()
    report = imagination_report(found, windows(store, range(9, 12)), ["p[0]", "p[1]"])
    assert len(report["disagreement"]) == len(report["starts"][0]["disagreement"]) == 4
    assert imagine(world_model(store), *both(store)).disagreement is None


def test_latents_of_very_many_features_are_compared_in_components(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("worldjepa.evaluate.latents.MAX_FEATURES", 10)
    learner = world_model(store)
    first, second = both(store)
    fitted = window_latents(learner, first)
    found = window_latents(learner, second, fitted.components)
    assert fitted.true.shape[-1] == found.true.shape[-1] == 10
    assert fitted.components is found.components
    assert state_names(second, ("p",)) == ["p[0]", "p[1]"]


def test_what_cannot_be_imagined_is_refused(store: Store, tmp_path: Path) -> None:
    learner = world_model(store)
    with pytest.raises(ValueError, match="imagination of 6"):
        imagine(learner, *both(store, horizon=6))
    check_rollout(world_model(store, sliding=True), 6)
    check_rollout(world_model(store, predictor="recurrent"), 600)
    other = probe_windows(store, range(9), state_keys=("p",), keys=("image",), history=1, horizon=4, images=True)
    with pytest.raises(ValueError, match="stride 2"):
        imagine(learner, other, other)
    learner.model.predictor = torch.nn.Identity()
    with pytest.raises(ValueError, match="Identity"):
        imagine(learner, *both(store))
