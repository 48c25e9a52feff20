"""Heads of two-view methods: what they compute, what they read and what they ignore."""

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict

from worldjepa.predictors.pairs import (
    ConditionalPredictor,
    Conditioned,
    CrossPredictor,
    EquivariantPredictor,
    FirstProjection,
    Head,
    Hypernetwork,
    SplitHead,
)


def query(action: torch.Tensor) -> TensorDict:
    return TensorDict({"action": action}, batch_size=[len(action)])


def batch_norm(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def split_head() -> SplitHead:
    return SplitHead(Head(2, (7, 3)), Head(4, (7, 5)), split=2)


def test_a_head_is_linear_batch_norm_and_relu() -> None:
    head = Head(4, (6, 3), end="norm")
    z = torch.randn(5, 2, 1, 4)
    first, last = (m.weight for m in head.layers if isinstance(m, torch.nn.Linear))
    rows = batch_norm(batch_norm(z.reshape(10, 4) @ first.T).relu() @ last.T)  # rows are all views of the batch
    torch.testing.assert_close(head(z), rows.view(5, 2, 1, 3), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("end", "bias", "normed"), [("norm", False, True), ("linear", False, False)])
def test_the_ends_of_heads(end, bias, normed) -> None:
    head = Head(4, (6, 3), end=end)
    assert not any(m.bias is not None for m in head.layers if isinstance(m, torch.nn.Linear))
    rows = head(torch.randn(64, 1, 1, 4) * 9 + 5).flatten(0, 2)
    assert torch.allclose(rows.std(0), torch.tensor(1.0), atol=0.02) == normed
    assert Head(4, (6, 3), end="affine").layers[-1].bias is not None


def test_a_split_head_reads_each_half_with_its_own_head() -> None:
    head = split_head().eval()
    z = torch.randn(4, 1, 1, 6)
    moved = z.clone()
    moved[..., 2:] += 1.0
    before, after = head(z), head(moved)
    assert torch.equal(before[..., :3], after[..., :3])
    assert not torch.isclose(before[..., 3:], after[..., 3:]).any()
    whole = SplitHead(Head(6, (3,)), Head(6, (5,))).eval()
    assert not torch.isclose(whole(z)[..., :3], whole(moved)[..., :3]).any()


def test_the_hypernetwork_applies_a_matrix_made_for_each_sample() -> None:
    """As released with SIE: a linear layer without bias from the action to the entries of W, then W y."""
    net = Hypernetwork(3, 2)
    y = torch.randn(5, 1, 1, 3, requires_grad=True)
    action = torch.randn(5, 1, 1, 2)
    hyper = torch.nn.Linear(2, 9, bias=False)
    with torch.no_grad():
        hyper.weight.copy_(net.generators.flatten(1).T)
    expected = []
    for b in range(5):
        matrix = hyper(action[b, 0, 0]).view(3, 3)
        expected.append(matrix @ y[b, 0, 0])
    found, expected = net(y, action), torch.stack(expected)[:, None, None]
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(x.square().sum(), y, retain_graph=True)[0] for x in (found, expected))
    torch.testing.assert_close(ours, theirs)
    assert net.generators.abs().max() <= 2**-0.5
    assert (net(y, torch.zeros_like(action)) == 0).all()
    torch.testing.assert_close(net(y, 3.0 * action), 3.0 * found)


def test_a_conditioned_projection_reads_both_through_batch_norm() -> None:
    net = Conditioned(3, 2, action_embed=4, end="norm")
    y, action = torch.randn(8, 1, 1, 3), torch.randn(8, 1, 1, 2)
    embed, linear = net.parameters()
    both = torch.cat([batch_norm(action[:, 0, 0] @ embed.T), y[:, 0, 0]], dim=1)
    expected = batch_norm(both @ linear.T)
    torch.testing.assert_close(net(y, action)[:, 0, 0], expected, atol=1e-5, rtol=1e-4)


def test_simclr_compares_the_first_view_as_it_is() -> None:
    projector = Head(6, (3,)).eval()
    predictor = FirstProjection(projector)
    z = torch.randn(4, 2, 1, 6)
    torch.testing.assert_close(predictor(z, query(torch.randn(4, 1, 2))), projector(z[:, :1]))
    assert not list(predictor.parameters())  # they are the target's


@pytest.mark.parametrize("transform", [Hypernetwork(5, 2), Conditioned(5, 2, action_embed=4, end="norm")])
def test_the_action_moves_the_equivariant_part_only(transform) -> None:
    projector = split_head().eval()
    predictor = EquivariantPredictor(projector, transform).eval()
    z, action = torch.randn(4, 2, 1, 6), torch.randn(4, 1, 2)
    before, after = predictor(z, query(action)), predictor(z, query(action + 0.5))
    assert predictor.equivariant == slice(3, 8)
    assert torch.equal(before[..., :3], after[..., :3])
    torch.testing.assert_close(before[..., :3], projector.invariant(z[:, :1, :, :2]))
    assert (before[..., 3:] - after[..., 3:]).abs().min() > 1e-6
    hidden = z.clone()
    hidden[:, 1] = torch.nan  # the view to be predicted
    assert torch.equal(predictor(hidden, query(action)), before)


def test_byol_predicts_each_view_from_the_other() -> None:
    predictor = CrossPredictor(Head(6, (3,)), Head(3, (5, 3), end="affine")).eval()
    z = torch.randn(4, 2, 1, 6)
    changed = z.clone()
    changed[:, 1] += 1.0
    before, after = (predictor(x, query(torch.zeros(4, 1, 2))) for x in (z, changed))
    assert torch.equal(before[:, 1], after[:, 1])  # said of view 1, from view 0
    assert not torch.isclose(before[:, 0], after[:, 0]).any()


def test_conditional_byol_reads_the_first_view_and_the_action() -> None:
    predictor = ConditionalPredictor(Head(6, (3,)), Conditioned(3, 2, action_embed=4, hidden=(8,), end="affine")).eval()
    z, action = torch.randn(4, 2, 1, 6), torch.randn(4, 1, 2)
    before = predictor(z, query(action))
    assert before.shape == (4, 1, 1, 3)
    assert not torch.isclose(before, predictor(z, query(action + 0.5))).all()
    hidden = z.clone()
    hidden[:, 1] = torch.nan
    assert torch.equal(predictor(hidden, query(action)), before)


def test_rows_of_a_batch_are_apart_in_eval_mode() -> None:
    predictor = EquivariantPredictor(split_head().eval(), Hypernetwork(5, 2))
    z, action = torch.randn(3, 1, 1, 6), torch.randn(3, 1, 2)
    before = predictor(z, query(action))
    z[1], action[1] = 7.0, -7.0
    after = predictor(z, query(action))
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not F.cosine_similarity(before[1].flatten(), after[1].flatten(), dim=0).isclose(torch.tensor(1.0))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Head(4, ())
    with pytest.raises(ValueError, match="end must be"):
        Head(4, (3,), end="relu")  # pyright: ignore[reportArgumentType]
    predictor = EquivariantPredictor(split_head(), Hypernetwork(5, 2))
    with pytest.raises(ValueError, match="one action for each of 3 pairs"):
        predictor(torch.randn(3, 2, 1, 6), query(torch.randn(3, 2, 2)))
