"""VICReg's penalties: identities, and a transcription of the released loss."""

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict

from worldjepa.objectives import VarianceCovariance, covariance_penalty, variance_hinge
from worldjepa.types import Prediction

NO_BATCH = TensorDict({}, batch_size=[2])


def vicreg(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """facebookresearch/vicreg main_vicreg.py, one branch: std_loss (before its / 2) and cov_loss."""
    num_features = x.shape[1]
    x = x - x.mean(dim=0)
    std_x = torch.sqrt(x.var(dim=0) + 0.0001)
    std_loss = torch.mean(F.relu(1 - std_x))
    cov_x = (x.T @ x) / (len(x) - 1)
    off_diagonal = cov_x.flatten()[:-1].view(num_features - 1, num_features + 1)[:, 1:].flatten()
    return std_loss, off_diagonal.pow_(2).sum().div(num_features)


def test_it_is_the_released_loss() -> None:
    rows = torch.randn(50, 7) @ torch.randn(7, 7) * 0.3
    std_loss, cov_loss = vicreg(rows)
    torch.testing.assert_close(variance_hinge(rows), std_loss)
    torch.testing.assert_close(covariance_penalty(rows), cov_loss)
    assert std_loss > 0.01


def test_collapse_costs_the_most() -> None:
    collapsed = torch.ones(20, 4)
    torch.testing.assert_close(variance_hinge(collapsed), torch.tensor(1.0 - 1e-2))  # sqrt(eps) = 0.01
    assert variance_hinge(torch.randn(20, 4)) < 0.5


def test_enough_spread_costs_nothing() -> None:
    assert variance_hinge(10 * torch.randn(100, 4)) == 0.0


def test_the_threshold_is_where_the_hinge_opens() -> None:
    rows = torch.tensor([[-1.0], [1.0]])  # standard deviation sqrt(2)
    torch.testing.assert_close(variance_hinge(rows, threshold=2.0), torch.tensor(2.0 - (2 + 1e-4) ** 0.5))
    assert variance_hinge(rows, threshold=1.4) == 0.0


def test_uncorrelated_features_cost_nothing_and_copies_do() -> None:
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert covariance_penalty(rows) == 0.0
    copies = rows[:, :1].expand(4, 2)  # covariance 4/3 twice, over D = 2
    torch.testing.assert_close(covariance_penalty(copies), torch.tensor((4 / 3) ** 2))


def test_a_large_variance_does_not_drown_small_covariances() -> None:
    rows = torch.randn(64, 2)
    a, b = (torch.linalg.qr(rows - rows.mean(0))[0] * 63**0.5).T  # uncorrelated, variance 1
    penalty = covariance_penalty(torch.stack([1e3 * a, b, b], dim=1))
    torch.testing.assert_close(penalty, torch.tensor(2 / 3))


def test_the_order_and_place_of_rows_do_not_matter() -> None:
    rows = torch.randn(30, 5, dtype=torch.float64)
    moved = rows[torch.randperm(30)] + 3.0
    torch.testing.assert_close(covariance_penalty(rows), covariance_penalty(moved))
    torch.testing.assert_close(variance_hinge(rows), variance_hinge(moved))


def test_the_gradient_spreads_what_is_nearly_collapsed() -> None:
    rows = (1e-2 * torch.randn(16, 4)).requires_grad_()
    variance_hinge(rows).backward()
    spread = rows.detach() - rows.grad
    assert (spread.std(0) > rows.std(0)).all()


@pytest.mark.parametrize("of", ["context", "predicted"])
def test_the_term_reads_the_latents_it_names(of) -> None:
    context, predicted = torch.randn(3, 2, 4, 5), torch.randn(3, 6, 1, 5) ** 3
    rows = {"context": context, "predicted": predicted}[of].reshape(-1, 5)
    losses = VarianceCovariance(of)(Prediction(context, predicted, predicted, None), NO_BATCH)
    std_loss, cov_loss = vicreg(rows)
    torch.testing.assert_close(losses, {"variance": std_loss, "covariance": cov_loss})


def test_half_precision_does_not_reach_the_sums() -> None:
    rows = torch.randn(3000, 8)
    expected = covariance_penalty(rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(covariance_penalty(rows), expected)
        assert variance_hinge(rows.bfloat16()).dtype == torch.float32


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="context"):
        VarianceCovariance("target")
    with pytest.raises(ValueError, match="at least 2"):
        VarianceCovariance()(Prediction(torch.zeros(1, 1, 1, 4), None, None, None), NO_BATCH)
    with pytest.raises(ValueError, match="predictor"):
        VarianceCovariance("predicted")(Prediction(torch.zeros(2, 1, 1, 4), None, None, None), NO_BATCH)
