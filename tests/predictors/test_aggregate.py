"""The aggregate predictor: what may reach what, and its half-conditionings."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.predictors import AggregatePredictor

B, M, C, A = 6, 4, 8, 3


def make(**options) -> AggregatePredictor:
    torch.manual_seed(0)
    return AggregatePredictor(dim=C, action_dim=A, action_embed=4, layers=2, num_heads=2, hidden=16, **options)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, M, 1, C, generator=generator), torch.randn(B, M, A, generator=generator)


def query(action: torch.Tensor) -> TensorDict:
    return TensorDict({"action": action}, batch_size=[B])


@pytest.mark.parametrize("training", [False, True])
def test_the_aggregate_does_not_know_the_action_to_the_target(training) -> None:
    predictor = make(dropout=0.0).train(training)
    z, action = inputs()
    other = action.clone()
    other[:, -1] = other[:, -1].flip(0)
    assert torch.equal(predictor.aggregate(z, action), predictor.aggregate(z, other))
    assert not torch.allclose(predictor(z, query(action)), predictor(z, query(other)))
    assert torch.equal(predictor.aggregate(z, action), predictor.aggregate(z, action[:, :-1]))


def test_as_released_the_statistics_of_a_batch_leak_it() -> None:
    z, action = inputs()
    other = action.clone()
    other[:, -1] *= 3.0
    keep = make(dropout=0.0, unused_action="keep")
    assert not torch.equal(keep.aggregate(z, action), keep.aggregate(z, other))
    keep.eval()
    assert torch.equal(keep.aggregate(z, action), keep.aggregate(z, other))
    zero = make(dropout=0.0, unused_action="zero")
    assert torch.equal(zero.aggregate(z, action), zero.aggregate(z, other))
    assert not torch.allclose(zero.aggregate(z, action), make(dropout=0.0).aggregate(z, action))


def test_the_order_of_views_counts_only_through_the_last_one() -> None:
    predictor = make().eval()
    z, action = inputs()
    moved = [2, 0, 1, 3]
    together = predictor.aggregate(z[:, moved], action[:, moved])
    torch.testing.assert_close(together, predictor.aggregate(z, action))
    assert not torch.allclose(predictor.aggregate(z[:, moved], action), together), "an action belongs to its view"
    last = [3, 1, 2, 0]
    assert not torch.allclose(predictor.aggregate(z[:, last], action[:, last]), together)


@pytest.mark.parametrize(("tokens", "head"), [(True, True), (True, False), (False, True), (False, False)])
def test_conditioning_is_dropped_where_asked(tokens, head) -> None:
    predictor = make(condition_tokens=tokens, condition_predictor=head).eval()
    z, action = inputs()
    before, aggregate = predictor(z, query(action)), predictor.aggregate(z, action)
    assert aggregate.shape == (B, predictor.width) == (B, C + 4 * tokens)
    between, upcoming = action.clone(), action.clone()
    between[:, :-1] += 1.0
    upcoming[:, -1] += 1.0
    assert torch.allclose(predictor.aggregate(z, between), aggregate) != tokens
    assert torch.allclose(predictor(z, query(between)), before) != tokens
    assert torch.allclose(predictor(z, query(upcoming)), before) != head
    assert (predictor.action is None) == (not tokens and not head)


def test_without_actions_none_are_needed() -> None:
    torch.manual_seed(0)
    predictor = AggregatePredictor(
        dim=C, action_dim=0, layers=1, num_heads=2, hidden=16, condition_tokens=False, condition_predictor=False
    ).eval()
    z, _ = inputs()
    assert torch.equal(predictor(z, TensorDict({}, batch_size=[B])), predictor(z, query(torch.zeros(B, M, 0))))
    with pytest.raises(ValueError, match="told no actions"):
        predictor.embed(torch.zeros(B, A))


def test_rows_are_independent_and_every_view_counts() -> None:
    predictor = make().eval()
    z, action = inputs()
    before = predictor(z, query(action))
    for view in range(M):
        changed = z.clone()
        changed[1, view] += 1.0
        after = predictor(changed, query(action))
        assert not torch.allclose(after[1], before[1])
        torch.testing.assert_close(after[2:], before[2:])


def test_any_number_of_views_one_too() -> None:
    predictor = make().eval()
    z, action = inputs()
    for count in range(1, M + 1):
        part = predictor.aggregate(z[:, :count], action[:, : count - 1])
        assert torch.equal(part, predictor.aggregate(z[:, :count], action[:, :count]))
    alone = predictor.aggregate(z[:, :1], action[:, :0])
    assert torch.equal(alone, predictor.aggregate(z[:, :1], None))
    assert not torch.allclose(predictor.aggregate(z, action), predictor.aggregate(z, None))


def test_gradients_reach_all_weights() -> None:
    predictor = make()
    z, action = inputs()
    z.requires_grad_()
    (predictor(z, query(action)) * torch.randn(B, 1, 1, C)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in predictor.parameters())
    assert z.grad is not None
    assert (z.grad.abs().sum((0, 2, 3)) > 0).all()


def test_what_it_cannot_read() -> None:
    predictor = make()
    z, action = inputs()
    with pytest.raises(ValueError, match=r"at least 4 actions of 3 numbers for 4 views, got 3 of 3"):
        predictor(z, query(action[:, :3]))
    with pytest.raises(ValueError, match=r"of 3 numbers for 4 views, got 4 of 2"):
        predictor(z, query(action[..., :2]))
    with pytest.raises(ValueError, match=r"expected latents \[B, M, 1, 8\]"):
        predictor(z[..., :5], query(action))
    with pytest.raises(ValueError, match="the query has no action"):
        predictor(z, TensorDict({}, batch_size=[B]))
    with pytest.raises(ValueError, match="without actions set condition_tokens"):
        AggregatePredictor(dim=C, action_dim=0)
    with pytest.raises(ValueError, match="unused_action must be"):
        make(unused_action="drop")
    with pytest.raises(
        ValueError, match=r"5 heads do not divide .* width 12 \(latents of 8 and embedded actions of 4\)"
    ):
        AggregatePredictor(dim=8, action_dim=3, action_embed=4, num_heads=5)
    with pytest.raises(ValueError, match=r"5 heads .* width 8 \(latents of 8\)"):
        AggregatePredictor(dim=8, action_dim=3, action_embed=4, num_heads=5, condition_tokens=False)
