"""InfoNCE and NT-Xent: identities, loops that spell the formula out, and masks."""

import math

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict

from worldjepa.objectives import NTXent, info_nce, nt_xent, without_duplicates
from worldjepa.types import Prediction

NO_BATCH = TensorDict({}, batch_size=[3])


def naive_nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """SimCLR, eq. 1 and algorithm 1: for all 2P vectors, over all others but itself."""
    z = [*first, *second]
    total = torch.zeros((), dtype=first.dtype)
    for i in range(len(z)):
        partner = (i + len(first)) % len(z)
        similar = [F.cosine_similarity(z[i], other, dim=0) / temperature for other in z]
        others = [s.exp() for k, s in enumerate(similar) if k != i]
        assert len(others) == 2 * len(first) - 1  # 2P - 2 negatives and the partner
        total = total - (similar[partner].exp() / torch.stack(others).sum()).log()
    return total / len(z)


def pair(num: int = 4, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(num, dim, dtype=torch.float64, requires_grad=True) for _ in range(2))  # pyright: ignore


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_is_its_formula(temperature) -> None:
    first, second = pair()
    found, expected = nt_xent(first, second, temperature=temperature), naive_nt_xent(first, second, temperature)
    torch.testing.assert_close(found, expected)
    for a, b in zip(torch.autograd.grad(found, (first, second)), torch.autograd.grad(expected, (first, second))):
        torch.testing.assert_close(a, b)
        assert (a.norm(dim=1) > 0).all()  # both sides of every pair learn


def test_it_is_symmetric_and_blind_to_order_and_length() -> None:
    first, second = pair()
    loss = nt_xent(first, second)
    torch.testing.assert_close(nt_xent(second, first), loss)
    order = torch.randperm(4)
    torch.testing.assert_close(nt_xent(3.0 * first[order], second[order]), loss)
    assert not torch.isclose(nt_xent(first, second[order]), loss)  # which vectors are partners does matter


def test_the_ends_are_perfect_alignment_and_collapse() -> None:
    apart = torch.eye(4)
    exact = math.log(1 + 6 * math.exp(-1 / 0.5))  # partners at cosine 1, six others at 0
    torch.testing.assert_close(nt_xent(apart, apart), torch.tensor(exact))
    assert nt_xent(apart, apart, temperature=0.05) < 1e-6
    collapsed = torch.ones(4, 4)
    for temperature in (0.05, 0.5):
        torch.testing.assert_close(nt_xent(collapsed, collapsed, temperature=temperature), torch.tensor(math.log(7)))


def test_a_lower_temperature_looks_harder_at_the_nearest_stranger() -> None:
    first, second = pair(8)
    share = []
    for temperature in (0.1, 1.0):
        (gradient,) = torch.autograd.grad(nt_xent(first, second, temperature=temperature), first)
        z = F.normalize(torch.cat([first, second]).detach(), dim=1)
        weights = (z @ z.T / temperature).masked_fill(torch.eye(16).bool(), -torch.inf).softmax(1)
        share.append(weights.max(1).values.mean())
        assert torch.isfinite(gradient).all()
    assert share[0] > 2 * share[1]


def test_a_pair_left_out_does_not_exist() -> None:
    first, second = pair(5)
    keep = torch.tensor([True, False, True, True, False])
    holes = torch.where(keep[:, None], first, torch.nan)
    loss = nt_xent(holes, second, keep)
    torch.testing.assert_close(loss, nt_xent(first[keep], second[keep]))
    gradient, other = torch.autograd.grad(loss, (first, second))
    assert torch.isfinite(gradient).all()
    assert (other[~keep] == 0).all()
    assert nt_xent(first, second, torch.zeros(5, dtype=torch.bool)) == 0.0


def test_info_nce_is_its_formula() -> None:
    queries, candidates = torch.randn(3, 4), torch.randn(5, 4)
    positive = torch.tensor([4, 0, 2])
    found = info_nce(queries, candidates, positive, temperature=0.7)
    for q in range(3):
        scores = torch.stack([queries[q] @ c for c in candidates]) / 0.7
        torch.testing.assert_close(found[q], scores.exp().sum().log() - scores[positive[q]])


def test_info_nce_compares_with_what_is_allowed_only() -> None:
    queries, candidates, positive = torch.randn(2, 4), torch.randn(5, 4), torch.tensor([1, 3])
    allowed = torch.tensor([[True, True, False, True, False], [False] * 5])
    found = info_nce(queries, candidates, positive, allowed=allowed)
    torch.testing.assert_close(found[0], info_nce(queries[:1], candidates[[0, 1, 3]], torch.tensor([1]))[0])
    assert found[1] == 0.0  # its own candidate is always there


def test_duplicates_of_the_answer_are_no_negatives() -> None:
    identity, positive = torch.tensor([7, 8, 7, 9, 8]), torch.tensor([0, 4, 3])
    expected = [[1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert without_duplicates(identity, positive).int().tolist() == expected


def test_the_term_reads_predicted_and_target_where_they_count() -> None:
    first, second = torch.randn(3, 1, 1, 4), torch.randn(3, 1, 1, 4)
    weight = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)
    found = NTXent(0.1, name="far")(Prediction(torch.zeros(3, 1, 1, 4), second, first, weight), NO_BATCH)
    expected = nt_xent(first[[0, 2], 0, 0], second[[0, 2], 0, 0], temperature=0.1)
    torch.testing.assert_close(found, {"far_nt_xent": expected})


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="positive"):
        NTXent(0.0)
    with pytest.raises(ValueError, match="predictor"):
        NTXent()(Prediction(torch.zeros(1, 1, 1, 1), None, None, None), NO_BATCH)


def test_half_precision_products_are_not_used() -> None:
    first, second = pair()
    first, second = first.float(), second.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent(first, second, temperature=0.05)
    torch.testing.assert_close(found, nt_xent(first, second, temperature=0.05))
