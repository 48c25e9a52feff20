"""Terms on a part of the latents."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.objectives import BeforeAction, LatentDistance, NTXent, OnFeatures, Sum, VarianceCovariance, nt_xent
from worldjepa.objectives.variance import variance_hinge
from worldjepa.types import Prediction

NO_BATCH = TensorDict({}, batch_size=[5])


def prediction(dim: int = 6) -> Prediction:
    context, target, predicted = torch.randn(5, 2, 1, 4), torch.randn(5, 1, 1, dim), torch.randn(5, 1, 1, dim)
    return Prediction(context, target, predicted.requires_grad_(), torch.ones(5, 1, 1))


def test_a_term_sees_its_features_alone() -> None:
    p = prediction()
    losses = Sum(
        (2.0, OnFeatures(LatentDistance("l2", name="a"), 0, 2)), (3.0, OnFeatures(NTXent(0.1, name="b"), 2, 6))
    )(p, NO_BATCH)
    assert p.predicted is not None
    assert p.target is not None
    near = (p.predicted[..., :2] - p.target[..., :2]).square().mean()
    far = nt_xent(p.predicted[:, 0, 0, 2:], p.target[:, 0, 0, 2:], temperature=0.1)
    torch.testing.assert_close(losses, {"a_latent_l2": near, "b_nt_xent": far, "loss": 2 * near + 3 * far})
    (gradient,) = torch.autograd.grad(losses["a_latent_l2"], p.predicted)
    assert (gradient[..., :2] != 0).all()
    assert (gradient[..., 2:] == 0).all()


def test_padding_stays_padding() -> None:
    p = prediction()
    assert p.predicted is not None
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0]).view(5, 1, 1)
    found = OnFeatures(LatentDistance("l2"), 1, 3)(Prediction(p.context, p.target, p.predicted, weight), NO_BATCH)[
        "latent_l2"
    ]
    kept = torch.tensor([0, 1, 3, 4])
    few = Prediction(p.context[kept], p.target[kept], p.predicted[kept], None)  # pyright: ignore
    torch.testing.assert_close(found, OnFeatures(LatentDistance("l2"), 1, 3)(few, NO_BATCH)["latent_l2"])


def test_a_term_sees_the_first_view_as_it_was() -> None:
    p = prediction()
    projector = torch.nn.Linear(4, 6)
    term = BeforeAction(VarianceCovariance("predicted", parts=("variance",), threshold=5.0), projector)
    found = term(p, NO_BATCH)["variance"]
    torch.testing.assert_close(found, variance_hinge(projector(p.context[:, 0, 0]), threshold=5.0))
    assert not list(term.parameters())  # they are its owner's
    found.backward()
    assert projector.weight.grad is not None
    assert (projector.weight.grad != 0).all()


def test_what_cannot_be_seen_is_said() -> None:
    with pytest.raises(ValueError, match="start < stop"):
        OnFeatures(LatentDistance("l2"), 3, 3)
    with pytest.raises(ValueError, match="have 6 features, the term reads up to 7"):
        OnFeatures(LatentDistance("l2"), 3, 7)(prediction(), NO_BATCH)
    with pytest.raises(ValueError, match="predictor"):
        OnFeatures(LatentDistance("l2"), 0, 1)(Prediction(torch.zeros(1, 1, 1, 1), None, None, None), NO_BATCH)
