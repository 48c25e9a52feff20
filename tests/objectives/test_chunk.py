"""The action chunk: the published loss over real actions, blind to padding; heads that read all of the context."""

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import nn

from worldjepa.objectives import ActionChunk, ChunkDecoder, MLPChunk
from worldjepa.types import Prediction


class Given(nn.Module):
    """A head that answers what it was given."""

    def __init__(self, actions: torch.Tensor):
        super().__init__()
        self.actions = nn.Parameter(actions)
        self.chunk = actions.shape[1]

    def forward(self, context):
        return self.actions


CONTEXT = Prediction(torch.zeros(3, 2, 1, 4), None, None, None)
VALID = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True, True] + [False] * 4])


def batch(seed: int = 1) -> TensorDict:
    action = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(seed))
    return TensorDict({"action": action, "action_valid": VALID.clone()}, batch_size=[3])


def given(start: int, kind="l1", actions: torch.Tensor | None = None) -> ActionChunk:
    drawn = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    return ActionChunk(Given(drawn if actions is None else actions), start=start, kind=kind)  # pyright: ignore


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_the_right_actions_cost_nothing(kind) -> None:
    data = batch()
    assert given(1, kind, data["action"][:, 1:5])(CONTEXT, data)[f"action_{kind}"] == 0.0


@pytest.mark.parametrize(("kind", "theirs"), [("l1", F.l1_loss), ("l2", F.mse_loss)])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_it_is_the_released_loss_over_real_actions(kind, theirs, start) -> None:
    """ACT-JEPA: ``F.l1_loss(predicted[~is_pad], action[~is_pad])``; the chunk begins at the present."""
    data, term = batch(), given(start, kind)
    valid = VALID[:, start : start + 4]
    expected = theirs(term.head.actions[valid], data["action"][:, start : start + 4][valid])
    torch.testing.assert_close(term(CONTEXT, data)[f"action_{kind}"], expected)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(kind, junk) -> None:
    results = []
    for filler in (0.5, junk):
        data, term = batch(), given(1, kind)
        data["action"][~VALID] = filler
        loss = term(CONTEXT, data)[f"action_{kind}"]
        loss.backward()
        results.append((loss.detach(), term.head.actions.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not results[1][1][~VALID[:, 1:5]].any()


def test_actions_outside_the_chunk_do_not_matter() -> None:
    data, term = batch(), given(1)
    before = term(CONTEXT, data)["action_l1"]
    data["action"][:, 0] = 100.0
    data["action"][:, 5] = 100.0
    assert torch.equal(before, term(CONTEXT, data)["action_l1"])


def test_short_windows_and_unknown_losses_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 7 actions a window, the batch has 6"):
        given(3)(CONTEXT, batch())
    with pytest.raises(ValueError, match="kind"):
        given(0, "l0")
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        ChunkDecoder(dim=8, action_dim=2, chunk=0, num_heads=2)


HEADS = {
    "decoder": lambda: ChunkDecoder(dim=8, action_dim=2, chunk=4, num_heads=2, ffn_dim=16, dropout=0.0, num_layers=2),
    "perceptron": lambda: MLPChunk(in_dim=2 * 3 * 8, action_dim=2, chunk=4, hidden=(16,)),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_treat_rows_alone(head) -> None:
    net, context = head(), torch.randn(3, 2, 3, 8)
    other = context.clone()
    other[1] += 1.0
    before, after = net(context), net(other)
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_every_action_reads_every_token_of_the_context(head) -> None:
    context = torch.randn(1, 2, 3, 8, requires_grad=True)
    net = head()
    for step in range(4):
        (gradient,) = torch.autograd.grad(net(context)[:, step].sum(), context)
        assert (gradient.abs().sum(-1) > 0).all()


def test_the_queries_tell_the_steps_of_a_chunk_apart() -> None:
    actions = HEADS["decoder"]()(torch.randn(1, 2, 3, 8))[0]
    assert torch.pdist(actions).min() > 1e-3
