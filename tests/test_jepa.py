"""The model: its parts joined, nothing of the future in what it sees, weights of the loss."""

import dataclasses

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from toys import TINY, present, toy_batch, toy_learner

from worldjepa.encoders import FusedEncoder, StateEncoder
from worldjepa.jepa import JEPA
from worldjepa.targets import StopGradient
from worldjepa.types import Views
from worldjepa.views import FutureViews

NOW = TINY.history - 1


def tiny(**changes) -> JEPA:
    return toy_learner(dataclasses.replace(TINY, **changes)).model.eval()


def disturbed(batch: TensorDict, *, obs_from: int | None = None, action_from: int | None = None) -> TensorDict:
    other = batch.clone()
    if obs_from is not None:
        other["obs", "agent", "pos"][:, obs_from:] += 5.0
        other["obs", "block"][:, obs_from:] -= 5.0
    if action_from is not None:
        other["action"][:, action_from:] += 5.0
    return other


def test_it_joins_view_encoder_predictor_and_target() -> None:
    model, batch = tiny(), toy_batch()
    views = model.views(batch)
    prediction = model(batch)
    context = model.encoder(views.context)
    assert torch.equal(prediction.context, context)
    assert torch.equal(prediction.predicted, model.predictor(context, views.query))
    assert torch.equal(prediction.target, model.target(views.target))
    assert not prediction.target.requires_grad
    assert prediction.predicted.requires_grad


@pytest.mark.parametrize("action_conditioned", [False, True])
def test_the_future_never_reaches_context_or_prediction(action_conditioned) -> None:
    model, batch = tiny(action_conditioned=action_conditioned), toy_batch()
    before = model(batch)
    after = model(disturbed(batch, obs_from=NOW + 1))
    assert torch.equal(before.context, after.context)
    assert torch.equal(before.predicted, after.predicted)
    assert not torch.allclose(before.target, after.target)


def test_no_action_reaches_a_model_that_is_not_told_them() -> None:
    model, batch = tiny(), toy_batch()
    before, after = model(batch), model(disturbed(batch, action_from=0))
    for name in ("context", "predicted", "target", "weight"):
        assert torch.equal(getattr(before, name), getattr(after, name))


def test_told_actions_reach_the_prediction_only() -> None:
    model, batch = tiny(action_conditioned=True), toy_batch()
    before, after = model(batch), model(disturbed(batch, action_from=NOW + 1))
    assert torch.equal(before.context, after.context)
    assert torch.equal(before.target, after.target)
    assert torch.equal(before.predicted[:, :2], after.predicted[:, :2])  # the present, and what action NOW leads to
    assert ((before.predicted - after.predicted).abs().amax((0, 2, 3))[2:] > 1e-4).all()


def test_every_frame_of_the_context_is_read() -> None:
    model, batch = tiny(), toy_batch()
    other = batch.clone()
    other["obs", "block"][:, 0] += 1.0
    assert not torch.allclose(model(batch).context[:, NOW], model(other).context[:, NOW], atol=1e-3)


def test_rows_of_a_batch_do_not_mix() -> None:
    model, batch = tiny(action_conditioned=True), toy_batch()
    other = batch.clone()
    other["obs", "block"][1] += 1.0
    other["action"][1] += 1.0
    before, after = model(batch), model(other)
    rows = [0, 2, 3]
    for name in ("context", "predicted", "target"):
        torch.testing.assert_close(getattr(before, name)[rows], getattr(after, name)[rows])
        assert not torch.allclose(getattr(before, name)[1], getattr(after, name)[1])


def test_a_policy_encodes_what_training_encodes() -> None:
    """Observations alone, without the view's time, give the same latents."""
    model, batch = tiny(), toy_batch()
    assert torch.equal(model.encode(present(batch)), model(batch).context)


def test_padding_weighs_nothing() -> None:
    weight = tiny()(toy_batch(rows=4, steps=6)).weight  # rows end at transitions 6, 5, 4, 3; targets are frames 1 to 4
    assert weight[:, :, 0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]]


class WeightedViews:
    """Views whose query weighs the targets."""

    def __call__(self, batch, generator=None):
        views = FutureViews(("x",), ("x",), horizon=2)(batch)
        views.query["weight"] = torch.tensor([0.5, 2.0, 0.0])[None, :, None].expand(len(batch), -1, -1)
        return Views(views.context, views.target, views.query)


class Repeat(nn.Module):
    context_length = 1

    def forward(self, z, query):
        return z.expand(-1, 3, -1, -1)


def test_weights_of_the_view_are_kept_where_targets_are_valid() -> None:
    encoder = FusedEncoder(StateEncoder({"x": 1}, 4), num_layers=0)
    model = JEPA(WeightedViews(), encoder, StopGradient(encoder), Repeat())
    batch = TensorDict({"obs": {"x": torch.randn(2, 3, 1)}, "action": torch.zeros(2, 2, 1)}, batch_size=[2])
    batch["valid"] = torch.tensor([[True, True, True], [True, False, False]])
    assert model(batch).weight[:, :, 0].tolist() == [[0.5, 2.0, 0.0], [0.5, 0.0, 0.0]]


def test_without_a_predictor_there_is_only_the_context() -> None:
    model, batch = tiny(jepa_weight=0.0), toy_batch()
    prediction = model(batch)
    assert prediction.target is prediction.predicted is prediction.weight is None
    model.update_target(0)


@pytest.mark.parametrize("changes", [{}, {"jepa_weight": 0.0}], ids=["not told actions", "no predictor"])
def test_what_takes_no_actions_cannot_be_rolled_out(changes) -> None:
    model = tiny(**changes)
    with pytest.raises(ValueError, match="rolled out"):
        model.rollout(torch.zeros(1, 2, 1, 16), torch.zeros(1, 4, 2))


def test_a_rollout_is_the_prediction_of_training() -> None:
    model, batch = tiny(action_conditioned=True), toy_batch()
    prediction = model(batch)
    imagined = model.rollout(prediction.context, batch["action"][:, : NOW + TINY.horizon])
    assert torch.equal(imagined, prediction.predicted[:, 1:])


def test_target_and_predictor_come_together() -> None:
    encoder = FusedEncoder(StateEncoder({"x": 1}, 4), num_layers=0)
    with pytest.raises(ValueError, match="both a target and a predictor"):
        JEPA(WeightedViews(), encoder, StopGradient(encoder))
