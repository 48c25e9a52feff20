"""SIGReg: the published statistic for the same directions, fresh and reproducible directions, blind to padding."""

import math

import pytest
import torch
from tensordict import TensorDict

from worldjepa.objectives import SIGReg, epps_pulley, random_directions
from worldjepa.types import Prediction

EVERYTHING_VALID = TensorDict({}, batch_size=[])


def published(proj: torch.Tensor, directions: torch.Tensor, knots: int = 17) -> torch.Tensor:
    """LeWorldModel's SIGReg.forward on latents [T, B, D], with its directions given."""
    t = torch.linspace(0, 3, knots, dtype=proj.dtype)
    dt = 3 / (knots - 1)
    weights = torch.full((knots,), 2 * dt, dtype=proj.dtype)
    weights[[0, -1]] = dt
    window = torch.exp(-t.square() / 2.0)
    x_t = (proj @ directions).unsqueeze(-1) * t
    err = (x_t.cos().mean(-3) - window).square() + x_t.sin().mean(-3).square()
    return ((err @ (weights * window)) * proj.size(-2)).mean()


def latents(seed: int = 0, scale: float = 1.5) -> torch.Tensor:
    return scale * torch.randn(7, 4, 1, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(term: SIGReg, z: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    batch = EVERYTHING_VALID if valid is None else TensorDict({"valid": valid}, batch_size=[len(z)])
    return term(Prediction(z, None, None, None), batch)["sigreg"]


@pytest.mark.parametrize("knots", [2, 9, 17])
@pytest.mark.parametrize("per_step", [True, False])
def test_value_and_gradient_are_the_published_ones(per_step, knots) -> None:
    z, term = latents().requires_grad_(), SIGReg(num_slices=32, num_knots=knots, per_step=per_step)
    directions = random_directions(6, 32, term.step).double()
    theirs = z[:, :, 0].transpose(0, 1) if per_step else z.reshape(1, 28, 6)
    expected = published(theirs, directions, knots)
    found = loss(term, z)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, z), torch.autograd.grad(expected, z))
    assert expected > 0.01


def test_single_precision_is_enough() -> None:
    z, term = latents().float(), SIGReg(num_slices=64).eval()
    torch.testing.assert_close(loss(term, z).double(), loss(term, z.double()), rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(term, z), loss(term.eval(), z))
    assert loss(term, z.bfloat16()).dtype == torch.float32


def test_a_gaussian_sample_has_the_statistic_of_the_null_distribution() -> None:
    """n E|mean exp(itp) - exp(-t^2 / 2)|^2 = 1 - exp(-t^2) whatever n is; integrated with the window."""
    t = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    expected = torch.trapezoid((1 - torch.exp(-t.square())) * torch.exp(-t.square() / 2), t)
    for num_rows in (50, 800):
        values = epps_pulley(torch.randn(1, num_rows, 2000, dtype=torch.float64))
        torch.testing.assert_close(values.mean(), expected, rtol=0.1, atol=0.0)


def test_all_mass_at_the_origin_is_the_closed_form() -> None:
    t = torch.linspace(-3, 3, 33, dtype=torch.float64)
    integrand = (1 - torch.exp(-t.square() / 2)).square() * torch.exp(-t.square() / 2)
    collapsed = epps_pulley(torch.zeros(1, 10, 3, dtype=torch.float64))
    torch.testing.assert_close(collapsed, 10 * torch.trapezoid(integrand, t).expand(1, 3))


def test_collapse_shift_and_scale_cost_more_than_a_gaussian() -> None:
    z, term = torch.randn(200, 1, 1, 8), SIGReg(num_slices=64).eval()
    right = loss(term, z)
    line = z[..., :1] * torch.ones(8)
    assert all(loss(term, wrong) > 3 * right for wrong in (0.0 * z, 0.3 * z, 3.0 * z, z + 1.0, line))


def test_following_the_gradient_makes_latents_gaussian() -> None:
    z = (0.1 * torch.randn(128, 1, 1, 4) @ torch.randn(4, 4) + 1.0).requires_grad_()
    term, optimizer = SIGReg(num_slices=32), torch.optim.Adam([z], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss(term, z).backward()
        optimizer.step()
    rows = z.detach().flatten(0, 2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), rtol=0, atol=0.15)
    torch.testing.assert_close(rows.T.cov(), torch.eye(4), rtol=0, atol=0.2)


def test_the_backward_pass_is_the_derivative() -> None:
    keep = torch.tensor([[True, True, False], [True, True, True]])
    projected = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: epps_pulley(p, keep, num_knots=5), projected)


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(per_step, junk) -> None:
    valid = torch.ones(7, 4, dtype=torch.bool)
    valid[2, 3:], valid[5, :2] = False, False
    results = []
    for filler in (0.5, junk):
        z = latents().masked_fill(~valid[..., None, None], filler).requires_grad_()
        value = loss(SIGReg(num_slices=16, per_step=per_step), z, valid)
        value.backward()
        results.append((value.detach(), z.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not results[1][1][~valid].any()


def test_each_step_counts_its_own_rows() -> None:
    valid = torch.ones(7, 4, dtype=torch.bool)
    valid[2:, 1], valid[:, 3] = False, False  # a step of two rows, one of none
    z, term = latents(), SIGReg(num_slices=16).eval()
    directions = random_directions(6, 16, term.step).double()
    steps = [z[:, 0], z[:2, 1], z[:, 2]]
    expected = torch.stack([published(step.transpose(0, 1), directions) for step in steps]).mean()
    torch.testing.assert_close(loss(term, z, valid), expected)
    assert loss(term, z, torch.zeros_like(valid)) == 0.0


def test_tokens_are_rows_and_other_latents_have_weights() -> None:
    z = latents().expand(7, 4, 2, 6) * torch.tensor([1.0, 2.0])[:, None]
    weight = torch.ones(7, 4, 2)
    weight[..., 1] = 0.0
    prediction = Prediction(latents(1), z, z, weight)
    for of in ("predicted", "target"):
        found = SIGReg(of, num_slices=16, name="next")(prediction, EVERYTHING_VALID)
        torch.testing.assert_close(found, {"next_sigreg": loss(SIGReg(num_slices=16), latents())})


def test_directions_are_unit_vectors_in_all_directions() -> None:
    directions = random_directions(5, 20000, torch.tensor(3))
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(20000))
    torch.testing.assert_close(directions @ directions.T / 20000, torch.eye(5) / 5, rtol=0, atol=0.01)
    torch.testing.assert_close(directions.mean(1), torch.zeros(5), rtol=0, atol=0.02)
    # A coordinate of a uniform unit vector of R^5 has fourth moment 3 / (5 * 7).
    torch.testing.assert_close(directions.pow(4).mean(1), torch.full((5,), 3 / 35), rtol=0.05, atol=0.0)


def test_directions_of_two_counts_or_seeds_are_unrelated() -> None:
    first, later, other = (random_directions(6, 4000, torch.tensor(n), seed) for n, seed in ((0, 0), (1, 0), (0, 1)))
    for a, b in ((first, later), (first, other), (later, other)):
        assert (a * b).sum(0).mean().abs() < 4 / math.sqrt(6 * 4000)
        assert (a * b).sum(0).abs().max() < 1.0
    assert torch.equal(first, random_directions(6, 4000, torch.tensor(0), 0))
    random_directions(6, 4, torch.tensor(2**40), seed=2**62)  # no overflow


def test_directions_are_fresh_in_training_and_stand_still_in_evaluation() -> None:
    z, term = latents(), SIGReg(num_slices=16)
    before = torch.get_rng_state()
    first, second = loss(term, z), loss(term, z)
    assert first != second
    assert torch.equal(torch.get_rng_state(), before)
    term.eval()
    assert torch.equal(loss(term, z), loss(term, z))
    assert term.step == 2


def test_a_resumed_term_draws_what_an_uninterrupted_one_draws() -> None:
    z, term, resumed = latents(), SIGReg(num_slices=16), SIGReg(num_slices=16)
    loss(term, z)
    resumed.load_state_dict(term.state_dict())
    assert torch.equal(loss(term, z), loss(resumed, z))


@pytest.mark.parametrize("setting", [{"num_slices": 0}, {"num_knots": 1}, {"t_max": 0.0}])
def test_impossible_settings_are_refused(setting) -> None:
    with pytest.raises(ValueError, match="at least 1 slice, 2 knots and t_max > 0"):
        SIGReg(**setting)


def test_latents_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="of must be one of"):
        SIGReg("latents")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="predictor and a target"):
        SIGReg("predicted")(Prediction(latents(), None, None, None), EVERYTHING_VALID)
    with pytest.raises(ValueError, match="4 frames"):
        loss(SIGReg(), latents(), torch.ones(7, 3, dtype=torch.bool))
