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


def pldm(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """vladisai/PLDM pldm/objectives/vicreg.py: std_loss and cov_loss (adjust_cov) of groups [G, R, D]."""
    x = x - x.mean(dim=1, keepdim=True)
    std_loss = torch.mean(F.relu(1 - torch.sqrt(x.var(dim=1) + 0.0001)), dim=-1)
    cov = torch.einsum("bki,bkj->bij", x, x) / (x.shape[1] - 1)
    diagonals = torch.einsum("bii->bi", cov).pow(2).sum(dim=-1)
    cov_loss = (cov.pow(2).sum(dim=[-1, -2]) - diagonals).div(x.shape[-1]) / (x.shape[-1] - 1)
    return std_loss.mean(), cov_loss.mean()


def stds(*rows: torch.Tensor) -> torch.Tensor:
    return torch.stack([pldm(group[None])[0] for group in rows]).mean()


def test_grouped_over_the_batch_and_over_time_it_is_pldm() -> None:
    """PLDM: variance and covariance of frame 0 over the batch; of the other frames over time, tokens flattened."""
    z = 0.4 * torch.randn(6, 5, 2, 3)
    encodings = z.flatten(2).transpose(0, 1)  # theirs: [T, B, D]
    across_batch = VarianceCovariance(by="step", tokens="features", per="pair", frames=(0, 1))
    across_time = VarianceCovariance(by="sequence", tokens="features", per="pair", frames=(1, None), name="time")
    std_loss, cov_loss = pldm(encodings[:1])
    std_loss_t, cov_loss_t = pldm(encodings[1:].permute(1, 0, 2))
    prediction = Prediction(z, None, None, None)
    found = across_batch(prediction, NO_BATCH) | across_time(prediction, NO_BATCH)
    torch.testing.assert_close(found["variance"], std_loss)
    torch.testing.assert_close(found["covariance"], cov_loss)
    torch.testing.assert_close(found["time_variance"], std_loss_t)
    torch.testing.assert_close(found["time_covariance"], cov_loss_t)


def test_tokens_are_vectors_of_their_own_unless_they_are_features() -> None:
    z = 0.4 * torch.randn(6, 5, 2, 3)
    prediction = Prediction(z, None, None, None)
    found = {by: VarianceCovariance(by=by, parts=("variance",))(prediction, NO_BATCH) for by in ("step", "sequence")}
    torch.testing.assert_close(found["step"]["variance"], pldm(z.transpose(0, 1).flatten(1, 2))[0])
    torch.testing.assert_close(found["sequence"]["variance"], pldm(z.transpose(1, 2).flatten(0, 1))[0])
    assert set(found["step"]) == {"variance"}


def test_groups_count_their_own_valid_rows() -> None:
    z = 0.4 * torch.randn(4, 3, 1, 5)
    valid = torch.tensor([[True, True, True], [True, True, False], [True, False, False], [True, True, False]])
    prediction, batch = Prediction(z, None, None, None), TensorDict({"valid": valid}, batch_size=[4])
    rows = {
        "all": [z[valid][:, 0]],
        "step": [z[:, 0, 0], z[[0, 1, 3], 1, 0]],  # one row has no variance
        "sequence": [z[0, :, 0], z[1, :2, 0], z[3, :2, 0]],
    }
    for by, groups in rows.items():
        found = VarianceCovariance(by=by, per="pair")(prediction, batch)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(found["variance"], stds(*groups))
        expected = torch.stack([pldm(group[None])[1] for group in groups]).mean()
        torch.testing.assert_close(found["covariance"], expected)


@pytest.mark.parametrize("by", ["all", "step", "sequence"])
@pytest.mark.parametrize("of", ["context", "predicted", "target"])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(by, of, junk) -> None:
    keep = torch.ones(4, 3, 2, dtype=torch.bool)
    keep[1, 1:], keep[3, :2] = False, False
    batch = TensorDict({"valid": keep[..., 0]}, batch_size=[4])
    results = []
    for filler in (0.5, junk):
        drawn = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(0))
        z = (0.3 * drawn).masked_fill(~keep[..., None], filler).requires_grad_()
        other = None if of == "context" else z
        prediction = Prediction(z if of == "context" else torch.zeros(4, 3, 1, 5), other, other, keep.float())
        losses = VarianceCovariance(of, by=by)(prediction, batch)
        (losses["variance"] + losses["covariance"]).backward()
        results.append((losses["variance"].detach(), losses["covariance"].detach(), z.grad))
    for same, junky in zip(*results):
        assert torch.equal(same, junky)
    assert not results[1][2][~keep].any()
    assert results[1][2][keep].any()


def test_only_padding_costs_nothing() -> None:
    batch = TensorDict({"valid": torch.zeros(4, 3, dtype=torch.bool)}, batch_size=[4])
    losses = VarianceCovariance()(Prediction(torch.randn(4, 3, 1, 5), None, None, None), batch)
    assert losses == {"variance": 0.0, "covariance": 0.0}


def test_half_precision_does_not_reach_the_sums() -> None:
    rows = torch.randn(3000, 8)
    expected = covariance_penalty(rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(covariance_penalty(rows), expected)
        assert variance_hinge(rows.bfloat16()).dtype == torch.float32


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="of must be one of"):
        VarianceCovariance("latents")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="by must be one of"):
        VarianceCovariance(by="time")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="parts must name"):
        VarianceCovariance(parts=())
    with pytest.raises(ValueError, match="at least 2"):
        VarianceCovariance()(Prediction(torch.zeros(1, 1, 1, 4), None, None, None), NO_BATCH)
    with pytest.raises(ValueError, match="predictor"):
        VarianceCovariance("predicted")(Prediction(torch.zeros(2, 1, 1, 4), None, None, None), NO_BATCH)
