"""What every predictor that is told actions must do: be causal, and roll out as if each step were recomputed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.predictors import CausalPredictor, ConcatPredictor, LatentGRU, RecurrentPredictor

DIM, ACTION, TOKENS = 8, 3, 2
Make = Callable[[], Any]


def causal(**options) -> CausalPredictor:
    sizes = {"num_layers": 2, "num_heads": 2, "head_dim": 4, "ffn_dim": 16, "context_length": 6, "num_tokens": TOKENS}
    return CausalPredictor(dim=DIM, action_dim=ACTION, **{**sizes, **options})


def concat(**options) -> ConcatPredictor:
    sizes = {"num_layers": 2, "num_heads": 2, "head_dim": 4, "ffn_dim": 16, "context_length": 6, "num_tokens": TOKENS}
    return ConcatPredictor(dim=DIM, action_dim=ACTION, action_embed=5, **{**sizes, **options})


def stirred(model: Any) -> Any:
    """AdaLN starts as the identity, whatever the action: give every weight a value that matters, always the same."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, mean=0.0 if parameter.ndim > 1 else 0.5, std=0.2)
    return model.eval()


PREDICTORS: dict[str, Make] = {
    "causal": lambda: stirred(causal()),
    "causal, residual, wide": lambda: stirred(causal(residual=True, width=12)),
    "causal, projector": lambda: stirred(causal(projector=16)),
    "causal, smoothed": lambda: stirred(causal(smoothed_dim=7)),
    "concat": lambda: stirred(concat()),
    "concat, residual": lambda: stirred(concat(residual=True)),
    "recurrent": lambda: stirred(RecurrentPredictor(dim=DIM, action_dim=ACTION, num_tokens=TOKENS, width=16)),
    "recurrent, two layers": lambda: stirred(
        RecurrentPredictor(dim=DIM, action_dim=ACTION, num_tokens=TOKENS, width=16, num_layers=2, residual=False)
    ),
    "latent gru": lambda: stirred(LatentGRU(dim=DIM, action_dim=ACTION, num_tokens=TOKENS)),
}
every = pytest.mark.parametrize("make", PREDICTORS.values(), ids=PREDICTORS.keys())


def predict(model: Any, z: Tensor, action: Tensor) -> Tensor:
    return model(z, TensorDict({"action": action}, batch_size=[len(z)]))


def step_by_step(model: Any, z: Tensor, action: Tensor) -> Tensor:
    """A rollout that asks for the next frame from all frames so far, again and again."""
    frames = z
    for t in range(z.shape[1] - 1, action.shape[1]):
        frames = torch.cat([frames, predict(model, frames, action[:, : t + 1])[:, -1:]], dim=1)
    return frames[:, z.shape[1] :]


@every
def test_the_next_frame_depends_on_earlier_frames_and_actions_alone(make: Make) -> None:
    model = make()
    z, action = torch.randn(1, 6, TOKENS, DIM, requires_grad=True), torch.randn(1, 6, ACTION, requires_grad=True)
    predicted = predict(model, z, action)
    for t in range(6):
        by_frame, by_action = torch.autograd.grad(predicted[:, t].square().sum(), (z, action), retain_graph=True)
        reach = by_frame.abs().sum((0, 2, 3)), by_action.abs().sum((0, 2))
        for influence in reach:
            first = t if isinstance(model, LatentGRU) else 0  # whose state is the latent
            assert (influence[first : t + 1] > 0).all()
            assert first == 0 or (influence[:first] == 0).all()
            assert (influence[t + 1 :] == 0).all()


@every
def test_a_target_frame_in_the_context_is_not_looked_at(make: Make) -> None:
    model = make()
    z, action = torch.randn(2, 5, TOKENS, DIM), torch.randn(2, 4, ACTION)
    other = z.clone()
    other[:, 4] = torch.nan
    assert torch.equal(predict(model, z, action), predict(model, other, action))


@every
@pytest.mark.parametrize("context", [1, 3])
def test_a_rollout_is_what_recomputing_every_step_gives(make: Make, context: int) -> None:
    model = make()
    z, action = torch.randn(2, context, TOKENS, DIM), torch.randn(2, context - 1 + 4, ACTION)
    torch.testing.assert_close(model.rollout(z, action), step_by_step(model, z, action), rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("context", [1, 3])
def test_samples_are_rolled_out_as_if_each_were_alone(make: Make, context: int) -> None:
    model = make()
    z, action = torch.randn(2, context, TOKENS, DIM), torch.randn(2, 5, context - 1 + 3, ACTION)
    action[:, :, : context - 1] = action[:, :1, : context - 1]
    together = model.rollout(z, action)
    assert together.shape == (2, 5, 3, TOKENS, DIM)
    for sample in range(5):
        alone = model.rollout(z, action[:, sample])
        torch.testing.assert_close(together[:, sample], alone, rtol=1e-4, atol=1e-5)


@every
def test_gradients_flow_to_the_actions_of_a_rollout(make: Make) -> None:
    model = make()
    action = torch.randn(1, 3, 4, ACTION, requires_grad=True)
    latents = model.rollout(torch.randn(1, 1, TOKENS, DIM), action)
    (gradient,) = torch.autograd.grad(latents[:, :, -1].square().sum(), action)
    assert (gradient.abs().sum((0, 3)) > 0).all()


@every
def test_a_rollout_needs_an_action_for_each_sample_and_step(make: Make) -> None:
    model = make()
    with pytest.raises(ValueError, match="at least one after them"):
        model.rollout(torch.zeros(1, 3, TOKENS, DIM), torch.zeros(1, 2, ACTION))
    with pytest.raises(ValueError, match="expected actions"):
        model.rollout(torch.zeros(2, 1, TOKENS, DIM), torch.zeros(1, 2, ACTION))


def test_a_fresh_causal_predictor_ignores_the_action() -> None:
    model = causal().eval()
    z = torch.randn(1, 3, TOKENS, DIM)
    assert torch.equal(predict(model, z, torch.zeros(1, 3, ACTION)), predict(model, z, torch.ones(1, 3, ACTION)))


@pytest.mark.parametrize("make", [causal, concat])
def test_a_horizon_beyond_the_context_raises_or_slides(make: Callable[..., Any]) -> None:
    z, action = torch.randn(2, 2, TOKENS, DIM), torch.randn(2, 9, ACTION)
    with pytest.raises(ValueError, match="needs a context_length of 9, this predictor has 6"):
        make().rollout(z, action)
    model = stirred(make(sliding=True))
    imagined = model.rollout(z, action)
    frames = torch.cat([z, imagined], dim=1)
    # Frame 8 is predicted from the six frames before it, as if they were the first.
    last = predict(model, frames[:, 2:8], action[:, 2:8])[:, -1]
    torch.testing.assert_close(imagined[:, 6], last, rtol=1e-4, atol=1e-5)
    within = stirred(make()).rollout(z, action[:, :6])
    torch.testing.assert_close(imagined[:, :5], within, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("frames", "actions", "message"),
    [
        ((1, 7, TOKENS, DIM), (1, 7, ACTION), "up to 6 frames"),
        ((1, 2, TOKENS, DIM), (1, 3, ACTION), "3 actions and 2 frames"),
        ((1, 3, TOKENS, DIM + 1), (1, 3, ACTION), "expected latents of 2 x 8"),
        ((1, 3, TOKENS, DIM), (1, 3, ACTION + 1), "actions of 3"),
    ],
)
@pytest.mark.parametrize("make", [causal, concat])
def test_what_does_not_fit_is_named(
    make: Callable[..., Any], frames: tuple[int, ...], actions: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predict(make(), torch.zeros(frames), torch.zeros(actions))


@pytest.mark.parametrize(("make", "size"), [(causal, "num_layers"), (concat, "num_tokens"), (concat, "context_length")])
def test_sizes_below_one_are_refused(make: Callable[..., Any], size: str) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got .*{size} 0"):
        make(**{size: 0})


def test_a_predictor_beside_which_the_action_stands_hears_it_from_the_start() -> None:
    model = concat().eval()
    z = torch.randn(1, 3, TOKENS, DIM)
    assert not torch.allclose(predict(model, z, torch.zeros(1, 3, ACTION)), predict(model, z, torch.ones(1, 3, ACTION)))
