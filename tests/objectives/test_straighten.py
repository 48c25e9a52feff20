"""Temporal straightening: straight lines cost nothing, reversals the most, what stands still does not count."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.objectives import Straightening
from worldjepa.types import Prediction

VALID = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [False] * 2 + [True] * 4])


def latents(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 6, 2, 4, generator=torch.Generator().manual_seed(seed))


def loss(z: torch.Tensor, valid: torch.Tensor | None = None, **settings) -> torch.Tensor:
    batch = TensorDict({} if valid is None else {"valid": valid}, batch_size=[len(z)])
    return Straightening(**settings)(Prediction(z, None, None, None), batch)["straightening"]


@pytest.mark.parametrize("tokens", ["rows", "features"])
def test_straight_lines_cost_nothing_and_reversals_two(tokens) -> None:
    direction, far = torch.randn(3, 1, 2, 4), torch.tensor([0.0, 1.0, 3.0, 3.5, 6.0, 9.0])[:, None, None]
    torch.testing.assert_close(loss(far * direction, tokens=tokens), torch.tensor(0.0), rtol=0, atol=1e-6)
    to_and_fro = torch.tensor([0.0, 1.0, 0.5, 2.0, -1.0, 0.0])[:, None, None]
    torch.testing.assert_close(loss(to_and_fro * direction, tokens=tokens), torch.tensor(2.0))


def test_a_right_angle_costs_one() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [4.0, 2.0]])[None, :, None]
    torch.testing.assert_close(loss(z), torch.tensor(1.0))


def test_it_is_the_published_loss_plus_one() -> None:
    """stable-worldmodel: ``-CosineSimilarity(v[:, :-1], v[:, 1:]).mean()`` of velocities of latents [B, T, D]."""
    for tokens, theirs in (("rows", latents().transpose(1, 2).flatten(0, 1)), ("features", latents().flatten(2))):
        v = theirs[:, 1:] - theirs[:, :-1]
        published = -torch.nn.CosineSimilarity(dim=-1)(v[:, :-1], v[:, 1:]).mean()
        torch.testing.assert_close(loss(latents(), tokens=tokens), 1.0 + published)


def test_only_three_real_frames_in_a_row_count() -> None:
    z = latents()
    v = z[:, 1:] - z[:, :-1]
    bend = 1.0 - torch.cosine_similarity(v[:, :-1], v[:, 1:], dim=-1)
    real = VALID[:, :-2] & VALID[:, 1:-1] & VALID[:, 2:]
    torch.testing.assert_close(loss(z, VALID), bend[real].mean())


def test_what_stands_still_has_no_direction() -> None:
    z = latents()[:1]
    z[:, 4:] = z[:, 3:4] + 1e-5 * torch.randn(1, 2, 2, 4)  # published: a gradient of 1e5
    z.requires_grad_()
    value = loss(z)
    value.backward()
    torch.testing.assert_close(value, loss(z.detach()[:, :4]))
    assert z.grad.abs().max() < 10.0
    assert loss(torch.ones(1, 4, 1, 3)) == 0.0


@pytest.mark.parametrize("tokens", ["rows", "features"])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(tokens, junk) -> None:
    results = []
    for filler in (0.5, junk):
        z = latents().masked_fill(~VALID[..., None, None], filler).requires_grad_()
        value = loss(z, VALID, tokens=tokens)
        value.backward()
        results.append((value.detach(), z.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not results[1][1][~VALID].any()
    assert results[1][1][VALID].any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 frames of context latents, got 2"):
        loss(latents()[:, :2])
    with pytest.raises(ValueError, match="min_change must be positive"):
        Straightening(min_change=0.0)
    with pytest.raises(ValueError, match="tokens must be one of"):
        Straightening(tokens="mean")  # pyright: ignore[reportArgumentType]
