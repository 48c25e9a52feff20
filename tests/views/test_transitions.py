"""Views of a world model: which frames are targets, which count, and that no frame is encoded twice."""

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.jepa import JEPA
from worldjepa.predictors import RecurrentPredictor
from worldjepa.targets import EMATarget, Shared, StopGradient
from worldjepa.views import TransitionViews

VIEWS = TransitionViews(("x",), history=2, horizon=2)


def batch(frames: int = 4) -> TensorDict:
    out = TensorDict({}, batch_size=[2])
    out["obs", "x"] = torch.arange(2 * frames * 3.0).reshape(2, frames, 3)
    out["action"] = torch.arange(2.0 * (frames - 1)).reshape(2, frames - 1, 1)
    out["valid"] = torch.tensor([[False] + [True] * (frames - 1), [True] * (frames - 1) + [False]])
    out["action_valid"] = torch.tensor([[True] * (frames - 1), [False] + [True] * (frames - 2)])
    return out


class Counting(nn.Module):
    """A linear encoder that counts the frames it has encoded."""

    num_tokens, dim = 1, 4

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.count = 0

    def forward(self, view: TensorDict) -> Tensor:
        self.count += view["x"].shape[1]
        return self.linear(view["x"])[:, :, None]


def test_targets_are_all_frames_but_the_first() -> None:
    given = batch()
    views = VIEWS(given)
    assert torch.equal(views.context["x"], given["obs", "x"])
    assert torch.equal(views.target["x"], given["obs", "x"][:, 1:])
    assert torch.equal(views.query["action"], given["action"])
    assert views.within == slice(1, 4)


def test_a_target_counts_where_both_frames_and_the_action_are_recorded() -> None:
    assert VIEWS(batch()).target["valid"].tolist() == [[False, True, True], [False, True, False]]


def test_windows_that_are_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="windows of 4 frames, the batch has 3"):
        VIEWS(batch(3))
    with pytest.raises(ValueError, match="at least 1"):
        TransitionViews(("x",), horizon=0)


@pytest.mark.parametrize(("kind", "frames"), [(Shared, 4), (StopGradient, 4), (EMATarget, 4)])
def test_frames_are_encoded_once_and_as_if_encoded_twice(kind: type, frames: int) -> None:
    encoder = Counting()
    target = kind(encoder)
    model = JEPA(VIEWS, encoder, target, RecurrentPredictor(dim=4, action_dim=1, width=8))
    given = batch()
    prediction = model(given)
    assert encoder.count == frames
    expected = encoder(VIEWS(given).target)
    assert prediction.target is not None
    assert torch.equal(prediction.target, expected)
    attached = kind is Shared
    assert prediction.target.requires_grad == attached


def test_a_target_of_another_encoder_is_not_taken_from_the_context() -> None:
    encoder, other = Counting(), Counting()
    model = JEPA(VIEWS, encoder, Shared(other), RecurrentPredictor(dim=4, action_dim=1, width=8))
    prediction = model(batch())
    assert (encoder.count, other.count) == (4, 3)
    assert torch.equal(prediction.target, other(VIEWS(batch()).target))
