"""Distances of latents: identities, and the formulas of numpy and of ACT-JEPA's released code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict

from worldjepa.objectives import DISTANCES, LatentDistance, copy_ratio
from worldjepa.types import Prediction

KINDS = sorted(DISTANCES)
NO_BATCH = TensorDict({}, batch_size=[2])


def prediction(predicted: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> Prediction:
    return Prediction(torch.zeros(len(predicted), 1, 1, 3), target, predicted, weight)


def latents(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))


def loss(kind, predicted, target, weight=None) -> torch.Tensor:
    (value,) = LatentDistance(kind)(prediction(predicted, target, weight), NO_BATCH).values()
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_equal_latents_have_no_distance(kind) -> None:
    torch.testing.assert_close(loss(kind, latents(0), latents(0)), torch.tensor(0.0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_symmetric_and_positive(kind) -> None:
    a, b = latents(0), latents(1)
    torch.testing.assert_close(loss(kind, a, b), loss(kind, b, a))
    assert loss(kind, a, b) > 0.1


def test_cosine_ignores_length_and_the_others_do_not() -> None:
    a, b = latents(0), latents(1)
    for kind in KINDS:
        same = torch.allclose(loss(kind, 3.0 * a, b), loss(kind, a, b), rtol=1e-4)
        assert same == (kind == "cosine")


def test_opposite_latents_have_cosine_distance_two() -> None:
    torch.testing.assert_close(loss("cosine", latents(0), -2 * latents(0)), torch.tensor(2.0))


def numpy_distance(kind: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if kind == "cosine":
        return 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    d = np.abs(a - b)
    huber = np.where(d < 1, 0.5 * d**2, d - 0.5)
    return {"l1": d, "l2": d**2, "smooth_l1": huber}[kind].mean(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_formulas_with_weights(kind) -> None:
    a, b = 2 * latents(0), 2 * latents(1)
    weight = torch.rand(2, 4, 3)
    weight[0, 2:] = 0.0
    distance = numpy_distance(kind, a.double().numpy(), b.double().numpy())
    expected = np.average(distance, weights=weight.double().numpy())
    assert loss(kind, a, b, weight).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("kind", "theirs"), [("l1", F.l1_loss), ("l2", F.mse_loss)])
def test_it_is_the_released_loss_over_valid_tokens(kind, theirs) -> None:
    """ACT-JEPA: ``F.l1_loss(predicted[~is_pad], target[~is_pad])``."""
    a, b = latents(0), latents(1)
    is_pad = torch.tensor([[False, False, True, True], [False] * 4])
    weight = (~is_pad).float()[..., None].expand(2, 4, 3)
    torch.testing.assert_close(loss(kind, a, b, weight), theirs(a[~is_pad], b[~is_pad]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(kind, junk) -> None:
    """Value and gradient are to the last bit those of any other padding."""
    weight = torch.ones(2, 4, 3)
    weight[1, 1:] = 0.0
    results = []
    for filler in (0.5, junk):
        predicted, target = latents(0).requires_grad_(), latents(1)
        target[1, 1:] = filler
        value = loss(kind, predicted, target, weight)
        value.backward()
        results.append((value.detach(), predicted.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert torch.equal(results[1][1][1, 1:], torch.zeros(3, 3, 5))
    assert results[1][1][0].abs().sum() > 0


def test_it_is_named_after_its_kind() -> None:
    assert set(LatentDistance("cosine")(prediction(latents(0), latents(1)), NO_BATCH)) == {"latent_cosine"}


def test_unknown_kinds_and_models_without_predictor_are_refused() -> None:
    with pytest.raises(ValueError, match="one of"):
        LatentDistance("l3")
    alone = Prediction(latents(0), None, None, None)
    with pytest.raises(ValueError, match="predictor"):
        LatentDistance()(alone, NO_BATCH)
    with pytest.raises(ValueError, match="predictor"):
        copy_ratio(alone)


def test_copying_has_ratio_one_and_the_truth_zero() -> None:
    target = latents(1)
    copied = target[:, :1].expand_as(target)
    torch.testing.assert_close(copy_ratio(prediction(copied, target)), torch.tensor(1.0))
    assert copy_ratio(prediction(target, target)) == 0.0


def test_the_ratio_counts_valid_steps_only() -> None:
    target, predicted = latents(1), latents(0)
    weight = torch.zeros(2, 4, 3)
    weight[:, :2] = 1.0
    error = (predicted - target)[:, 1:2].abs().mean()  # step 0 is the present: copying it is free
    copied = (target[:, :1] - target)[:, 1:2].abs().mean()
    torch.testing.assert_close(copy_ratio(prediction(predicted, target, weight)), error / copied)
