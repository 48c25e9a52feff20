"""The fast rollout is the plain one, of the present weights, wherever it is asked."""

import pytest
import torch
from torch import Tensor

from tests.predictors.test_world import ACTION, DIM, causal, stirred
from worldjepa.plan import goal_cost
from worldjepa.predictors import fast, packed
from worldjepa.predictors.causal import CausalPredictor
from worldjepa.predictors.fast import FastRollout

MODELS = {
    "one token": {"num_tokens": 1},
    "two tokens": {"num_tokens": 2},
    "wide, residual": {"num_tokens": 1, "width": 12, "residual": True},
    "projector": {"num_tokens": 1, "projector": 16, "smoothed_dim": 5},
}
every = pytest.mark.parametrize("options", MODELS.values(), ids=MODELS.keys())


def inputs(model: CausalPredictor, context: int = 1, samples: int = 5) -> tuple[Tensor, Tensor]:
    z, action = torch.randn(2, context, model.num_tokens, DIM), torch.randn(2, samples, context + 2, ACTION)
    action[:, :, : context - 1] = action[:, :1, : context - 1]
    return z, action


def alike(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("part", [1, 200, 2**20])
@torch.no_grad()
def test_it_is_the_plain_rollout_however_it_is_parted(options, context, part, monkeypatch) -> None:
    monkeypatch.setattr(fast, "PART", part)
    model = stirred(causal(**options))
    z, action = inputs(model, context)
    run = FastRollout(model)
    called = []
    monkeypatch.setattr(model, "rollout", lambda *given: called.append(given))
    alike(run(z, action), CausalPredictor.rollout(model, z, action))
    alike(run(z, action[:, 1]), CausalPredictor.rollout(model, z, action[:, 1]))
    assert not called


@every
@torch.no_grad()
def test_without_packed_products_it_is_the_same(options, monkeypatch) -> None:
    monkeypatch.setattr(packed, "can_pack", lambda: False)
    model = stirred(causal(**options))
    z, action = inputs(model)
    alike(FastRollout(model)(z, action), model.rollout(z, action))


@torch.no_grad()
def test_new_weights_and_another_context_are_seen() -> None:
    model = stirred(causal(num_tokens=1))
    run = FastRollout(model)
    z, action = inputs(model, 3)
    before = run(z, action)
    for parameter in model.parameters():
        parameter.mul_(1.5)
    after = run(z, action)
    assert not torch.allclose(before, after, atol=1e-3)
    alike(after, model.rollout(z, action))
    z[:, 0] += 1
    alike(run(z, action), model.rollout(z, action))
    action[:, :, 0] += 1
    alike(run(z, action), model.rollout(z, action))


def test_gradients_and_training_go_the_plain_way() -> None:
    model = stirred(causal(num_tokens=1))
    z, action = inputs(model)
    action.requires_grad_()
    (gradient,) = torch.autograd.grad(FastRollout(model)(z, action).square().sum(), action)
    assert (gradient.abs().sum((0, 1, 3)) > 0).all()
    dropping = causal(num_tokens=1, dropout=0.9)
    for parameter in dropping.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        dropping.train()
        run = FastRollout(dropping)
        assert not torch.allclose(run(z, action), run(z, action))


@torch.no_grad()
def test_it_refuses_and_slides_as_the_plain_one() -> None:
    model = stirred(causal(num_tokens=1))
    z = inputs(model)[0]
    with pytest.raises(ValueError, match="needs a context_length of 9"):
        FastRollout(model)(z, torch.zeros(2, 9, ACTION))
    with pytest.raises(ValueError, match="at least one after them"):
        FastRollout(model)(torch.zeros(2, 3, 1, DIM), torch.zeros(2, 2, ACTION))
    sliding = stirred(causal(num_tokens=1, sliding=True))
    long = torch.randn(2, 3, 9, ACTION)
    alike(FastRollout(sliding)(z, long), sliding.rollout(z, long))


def test_costs_use_it_where_no_gradients_are_asked(monkeypatch) -> None:
    model = stirred(causal(num_tokens=1))
    z, action = inputs(model)
    cost = goal_cost(model, z, torch.randn(2, 1, 1, DIM))
    plain = cost(action)
    monkeypatch.setattr(model, "rollout", None)
    with torch.no_grad():
        alike(cost(action), plain.detach())
