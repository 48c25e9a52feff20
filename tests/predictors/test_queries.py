"""The query predictor: what each prediction may depend on."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.predictors import QueryPredictor

TC, H, A, N = 2, 4, 3, 2


def predictor(action_dim: int | None = A, **options) -> QueryPredictor:
    sizes = {"width": 8, "num_layers": 2, "num_heads": 2, "ffn_dim": 16, "dropout": 0.0}
    options = {"dim": 6, "target_dim": 5, "horizon": H, "context_length": TC, "num_tokens": N} | sizes | options
    return QueryPredictor(action_dim=action_dim, **options)


def context(rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, TC, 3, 6)


def actions(rows: int = 2, steps: int = TC - 1 + H) -> torch.Tensor:
    return torch.randn(rows, steps, A)


def ask(action: torch.Tensor) -> TensorDict:
    return TensorDict({"action": action}, batch_size=[len(action)])


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("t", range(TC - 1 + H))
def test_an_action_changes_exactly_what_comes_after_it(t, stride, norm) -> None:
    """Action t leads from frame t to t + 1; step h is frame Tc - 1 + h."""
    net, z, action = predictor(stride=stride, norm=norm), context(), actions()
    other = action.clone()
    other[:, t] += 1.0
    moved = (net(z, ask(action)) - net(z, ask(other))).abs().amax((0, 2, 3))
    frame = TC - 1 + torch.arange(0, H + 1, stride)
    before = frame <= t
    assert (moved[before] == 0).all()
    if t >= TC - 1:
        assert (moved[~before] > 1e-5).all()
    else:
        assert (moved == 0).all()  # what led to the context is in the context


def test_a_shorter_rollout_is_the_prefix_of_a_longer_one() -> None:
    net, z, action = predictor(), context(), actions()
    whole = net.rollout(z, action)
    assert whole.shape == (2, H, N, 5)
    for horizon in range(1, H):
        torch.testing.assert_close(net.rollout(z, action[:, : TC - 1 + horizon]), whole[:, :horizon])


def test_a_rollout_is_the_prediction_without_the_present() -> None:
    net, z, action = predictor(), context(), actions()
    assert torch.equal(net.rollout(z, action), net(z, ask(action))[:, 1:])


@pytest.mark.parametrize("action_dim", [A, None])
def test_rows_are_predicted_alone(action_dim) -> None:
    net, z, action = predictor(action_dim), context(3), actions(3)
    other_z, other_action = z.clone(), action.clone()
    other_z[1] += 1.0
    other_action[1] += 1.0
    before, after = net(z, ask(action)), net(other_z, ask(other_action))
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("action_dim", [A, None])
def test_every_prediction_reads_every_context_token(action_dim) -> None:
    net, z = predictor(action_dim), context().requires_grad_()
    predicted = net(z, ask(actions()))
    for step in range(H + 1):
        for token in range(N):
            (gradient,) = torch.autograd.grad(predicted[:, step, token].sum(), z, retain_graph=True)
            assert (gradient.abs().sum(-1) > 0).all()


def test_steps_and_tokens_are_told_apart() -> None:
    predicted = predictor(None)(context(1), ask(actions(1)))
    assert torch.pdist(predicted[0].flatten(0, 1)).min() > 1e-3


def test_without_actions_the_query_is_not_read() -> None:
    net, z = predictor(None), context()
    assert torch.equal(net(z, ask(actions())), net(z, TensorDict({}, batch_size=[2])))


def test_what_cannot_be_rolled_out_is_refused() -> None:
    with pytest.raises(ValueError, match="action_conditioned=True"):
        predictor(None).rollout(context(), actions())
    with pytest.raises(ValueError, match="up to 4 actions after the context, in blocks of 1; got 5"):
        predictor().rollout(context(), actions(steps=TC + H))
    with pytest.raises(ValueError, match="in blocks of 2; got 3"):
        predictor(stride=2).rollout(context(), actions(steps=TC + 2))
    with pytest.raises(ValueError, match="stride divides"):
        predictor(stride=3)
    with pytest.raises(ValueError, match="got 0"):
        predictor().rollout(context(), actions(steps=TC - 1))
