"""Pairs: both views seen, the second or both predicted."""

from dataclasses import dataclass

import pytest
import torch
from tensordict import TensorDict

from worldjepa.types import Views
from worldjepa.views import PairViews, SequenceViews


def batch_of(views: int = 2) -> TensorDict:
    valid = torch.ones(4, views, dtype=torch.bool)
    valid[1, 1] = False
    return TensorDict(
        {
            "obs": TensorDict({"image": torch.randint(256, (4, views, 4, 4, 3), dtype=torch.uint8)}, batch_size=[4]),
            "action": torch.randn(4, views - 1, 2),
            "valid": valid,
        },
        batch_size=[4],
    )


@dataclass(frozen=True)
class Jittered:
    """A view function that draws: what `PairViews` must hand its generator to."""

    def __call__(self, batch: TensorDict, generator: torch.Generator | None = None) -> Views:
        views = torch.randn(4, 2, 3, generator=generator)
        context, target = (TensorDict({"x": views[:, i : i + 1]}, batch_size=[4, 1]) for i in range(2))
        return Views(context, target, TensorDict({}, batch_size=[4]))


@pytest.mark.parametrize(("symmetric", "within"), [(False, slice(1, 2)), (True, slice(0, 2))])
def test_both_views_are_seen_and_the_target_is_among_them(symmetric, within) -> None:
    batch = batch_of()
    views = PairViews(SequenceViews(("image",), 1), symmetric=symmetric)(batch)
    assert torch.equal(views.context["image"], batch["obs", "image"])
    assert torch.equal(views.target["image"], batch["obs", "image"][:, within])
    assert torch.equal(views.context["image"][:, views.within], views.target["image"])
    assert torch.equal(views.query["action"], batch["action"])
    assert views.target["valid"].tolist() == [[i != 1] * views.target.shape[1] for i in range(4)]
    assert views.context.get("valid", None) is None


def test_draws_come_from_the_generator() -> None:
    pairs = PairViews(Jittered())
    first, again, other = (pairs(batch_of(), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first.context["x"], again.context["x"])
    assert not torch.equal(first.context["x"], other.context["x"])
    assert first.target.get("valid", None) is None


def test_longer_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="observed=1"):
        PairViews(SequenceViews(("image",), 2))(batch_of(3))
