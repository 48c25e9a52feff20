"""The multi-step loss: zero for a perfect model, the error of a rollout by hand, blind to padding."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from worldjepa.objectives import OpenLoop
from worldjepa.types import Prediction


class Adds(nn.Module):
    """Latents that change by the action, times a gain that would have to be one."""

    context_length = 99

    def __init__(self, gain: float = 1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.asked: list[tuple[torch.Size, torch.Size]] = []

    def rollout(self, z: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        self.asked.append((z.shape, action.shape))
        ahead = action[:, z.shape[1] - 1 :].cumsum(1)
        return z[:, -1:] + self.gain * ahead[:, :, None]


def window(weight: torch.Tensor | None = None) -> tuple[Prediction, TensorDict]:
    """Three windows of six frames of a world that `Adds` knows."""
    generator = torch.Generator().manual_seed(0)
    action = torch.randn(3, 5, 4, generator=generator)
    first = torch.randn(3, 1, 2, 4, generator=generator)
    z = torch.cat([first, first + action.cumsum(1)[:, :, None]], dim=1)
    return Prediction(z, z[:, 1:], z[:, 1:], weight), TensorDict({"action": action}, batch_size=[3])


def loss(term: OpenLoop, prediction: Prediction, batch: TensorDict) -> torch.Tensor:
    return term(prediction, batch)["open_loop"]


@pytest.mark.parametrize(("history", "steps"), [(1, 5), (1, None), (2, 3), (5, 1), (3, None)])
def test_a_perfect_model_costs_nothing_at_any_step(history, steps) -> None:
    assert loss(OpenLoop(Adds(), history, steps), *window()) < 1e-12


@pytest.mark.parametrize(("history", "steps"), [(1, 5), (2, 3), (3, None)])
def test_it_is_the_error_of_a_rollout_made_by_hand(history, steps) -> None:
    prediction, batch = window()
    last = 5 if steps is None else history + steps - 1
    errors, imagined = [], prediction.context[:, history - 1]
    for t in range(history - 1, last):
        imagined = imagined + 0.5 * batch["action"][:, t, None]
        errors.append((imagined - prediction.context[:, t + 1]).square())
    found = loss(OpenLoop(Adds(0.5), history, steps), prediction, batch)
    torch.testing.assert_close(found, torch.stack(errors).mean())


def test_the_gradient_flows_through_the_imagined_steps() -> None:
    prediction, batch = window()
    model = Adds(0.5)
    loss(OpenLoop(model, 1, 3), prediction, batch).backward()
    ahead = batch["action"][:, :3].cumsum(1)
    torch.testing.assert_close(model.gain.grad, (2 * -0.5 * ahead.square()).mean())


def test_the_predictor_stays_the_models_alone() -> None:
    assert list(OpenLoop(Adds()).parameters()) == []
    assert OpenLoop(Adds(), kind="l1", name="far")(*window()).keys() == {"far_open_loop"}


WEIGHT = torch.ones(3, 5, 2)
WEIGHT[1, 3:] = 0.0  # the window ends early
WEIGHT[2, 0] = 0.0  # it begins late: no step has a whole past


def test_steps_after_a_break_do_not_count() -> None:
    prediction, batch = window(WEIGHT)
    error = 0.25 * batch["action"].cumsum(1).square()
    expected = torch.cat([error[0], error[1, :3]]).mean()
    torch.testing.assert_close(loss(OpenLoop(Adds(0.5)), prediction, batch), expected)


@pytest.mark.parametrize("history", [1, 2])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(history, junk) -> None:
    results = []
    for filler in (0.5, junk):
        prediction, batch = window()
        z = prediction.context
        z[1, 4:], batch["action"][1, 3:], z[2, 0], batch["action"][2, 0] = filler, filler, filler, filler
        z.requires_grad_()
        model = Adds(0.5)
        value = loss(OpenLoop(model, history), Prediction(z, z[:, 1:], None, WEIGHT), batch)
        value.backward()
        results.append((value.detach(), z.grad, model.gain.grad))
    for same, junky in zip(*results):
        assert torch.equal(same, junky)
    assert not results[1][1][1, 4:].any()
    assert not results[1][1][2].any()
    assert results[1][2] != 0.0


def test_what_does_not_fit_is_refused() -> None:
    prediction, batch = window()
    with pytest.raises(ValueError, match="6 steps after 1 frames needs 7 frames"):
        loss(OpenLoop(Adds(), 1, 6), prediction, batch)
    with pytest.raises(ValueError, match="needs 7 frames"):
        loss(OpenLoop(Adds(), 6), prediction, batch)
    with pytest.raises(ValueError, match="predictor and a target"):
        loss(OpenLoop(Adds()), Prediction(prediction.context, None, None, None), batch)
    with pytest.raises(ValueError, match="Linear cannot be rolled out"):
        OpenLoop(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="at least 1"):
        OpenLoop(Adds(), 0)
    with pytest.raises(ValueError, match="kind must be one of"):
        OpenLoop(Adds(), kind="l3")  # pyright: ignore[reportArgumentType]
