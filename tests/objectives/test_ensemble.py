"""The ensemble: trained beside the model without touching it; disagreement is a standard deviation, and grows."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from worldjepa.objectives import Ensemble
from worldjepa.types import Prediction


class Adds(nn.Module):
    """Latents that change by a gain times the action."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, z: torch.Tensor, query: TensorDict) -> torch.Tensor:
        action = query["action"]
        return z[:, : action.shape[1]] + self.gain * action[:, :, None]

    def rollout(self, z: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        ahead = action[..., z.shape[1] - 1 :, :].cumsum(-2)[..., None, :]
        last = z[:, -1:] if action.ndim == 3 else z[:, None, -1:]
        return last + self.gain * ahead


WEIGHT = torch.ones(3, 4, 2)
WEIGHT[1, 2:], WEIGHT[2, 0] = 0.0, 0.0


def window() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 2, 6, generator=generator), torch.randn(3, 4, 6, generator=generator)


def loss(term: Ensemble, z, action, weight=None) -> torch.Tensor:
    batch = TensorDict({"action": action}, batch_size=[3])
    return term(Prediction(z, z[:, 1:], z[:, 1:], weight), batch)["ensemble"]


def test_predictors_that_are_right_cost_nothing() -> None:
    z, action = window()
    z = torch.cat([z[:, :1], z[:, :1] + action.cumsum(1)[:, :, None]], dim=1)
    assert loss(Ensemble([Adds(1.0), Adds(1.0)]), z, action) < 1e-12


def test_it_is_the_mean_of_the_one_step_errors() -> None:
    z, action = window()
    errors = [(z[:, :-1] + gain * action[:, :, None] - z[:, 1:]).square().mean(-1) for gain in (0.5, 2.0)]
    term = Ensemble([Adds(0.5), Adds(2.0)])
    torch.testing.assert_close(loss(term, z, action), torch.stack(errors).mean())
    expected = torch.stack([error[WEIGHT > 0] for error in errors]).mean()
    torch.testing.assert_close(loss(term, z, action, WEIGHT), expected)


def test_it_learns_and_shapes_no_latent() -> None:
    z, action = window()
    z.requires_grad_()
    term = Ensemble([Adds(0.5), Adds(2.0)])
    loss(term, z, action).backward()
    assert z.grad is None
    assert all(member.gain.grad != 0.0 for member in term.predictors)


@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(junk) -> None:
    results = []
    for filler in (0.5, junk):
        z, action = window()
        z[1, 3:], action[1, 2:], z[2, 0], action[2, 0] = filler, filler, filler, filler
        term = Ensemble([Adds(0.5), Adds(2.0)])
        value = loss(term, z, action, WEIGHT)
        value.backward()
        results.append([value.detach(), *(parameter.grad for parameter in term.parameters())])
    for same, junky in zip(*results):
        assert torch.equal(same, junky)
    assert results[1][1] != 0.0


def test_twins_agree() -> None:
    z, action = window()
    assert not Ensemble([Adds(1.0), Adds(1.0)]).disagreement(z[:, :2], action).any()


def test_disagreement_is_the_standard_deviation_of_the_rollouts() -> None:
    z, action = window()
    gains = torch.tensor([0.5, 1.0, 3.0])
    term = Ensemble([Adds(gain) for gain in gains.tolist()])
    expected = gains.std(correction=0) * action[:, 1:].cumsum(1).abs().mean(-1)
    torch.testing.assert_close(term.disagreement(z[:, :2], action), expected)
    samples = torch.stack([action, 2 * action], dim=1)
    samples[:, :, 0] = action[:, None, 0]
    torch.testing.assert_close(term.disagreement(z[:, :2], samples), torch.stack([expected, 2 * expected], dim=1))


def test_what_is_no_ensemble_is_refused() -> None:
    alone, (z, action) = Adds(1.0), window()
    for members in ([alone], [alone, alone]):
        with pytest.raises(ValueError, match="at least 2 predictors, each of its own"):
            Ensemble(members)
    with pytest.raises(ValueError, match="kind"):
        Ensemble([Adds(1.0), Adds(1.0)], "l3")  # pyright: ignore[reportArgumentType]
    batch = TensorDict({"action": action}, batch_size=[3])
    with pytest.raises(ValueError, match="predictor and a target"):
        Ensemble([Adds(1.0), Adds(1.0)])(Prediction(z, None, None, None), batch)
