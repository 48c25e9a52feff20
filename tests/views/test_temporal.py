"""Views along time: which frames go where, and what is refused."""

import dataclasses

import pytest
import torch
from tensordict import TensorDict

from worldjepa.views import FutureViews


def counting_batch(frames: int = 7, image_frames: int = 7) -> TensorDict:
    """Row b, frame t holds 100 b + t; actions are negative."""
    count = 100 * torch.arange(2)[:, None] + torch.arange(frames)
    batch = TensorDict({}, batch_size=[2])
    batch["obs", "a", "x"] = count[..., None].float()
    batch["obs", "b"] = 0.5 + count[..., None]
    batch["obs", "image"] = count[:, :image_frames, None, None, None].to(torch.uint8)
    batch["action"] = -count[:, :-1, None].float()
    batch["valid"] = torch.arange(frames) < torch.tensor([[frames], [4]])
    return batch


VIEWS = FutureViews(("a/x", "image"), ("b",), history=2, horizon=3)


def test_context_is_the_past_and_target_begins_at_the_present() -> None:
    views = VIEWS(counting_batch())
    assert views.context["a", "x"][:, :, 0].tolist() == [[0, 1], [100, 101]]
    assert views.context["image"].shape == (2, 2, 1, 1, 1)
    assert views.target["b"][:, :, 0].tolist() == [[1.5, 2.5, 3.5, 4.5], [101.5, 102.5, 103.5, 104.5]]
    assert views.query["action"][:, :, 0].tolist() == [[0, -1, -2, -3], [-100, -101, -102, -103]]


def test_a_stride_skips_target_frames_but_no_actions() -> None:
    views = dataclasses.replace(VIEWS, horizon=4, stride=2)(counting_batch())
    assert views.target["b"][:, :, 0].tolist() == [[1.5, 3.5, 5.5], [101.5, 103.5, 105.5]]
    assert views.target["time"].tolist() == [[0, 2, 4]] * 2
    assert views.target["valid"].tolist() == [[True] * 3, [True, True, False]]
    assert views.query["action"][0, :, 0].tolist() == [0, -1, -2, -3, -4]


def test_only_the_asked_keys_are_seen() -> None:
    views = VIEWS(counting_batch())
    assert set(views.context.keys(True, True)) == {("a", "x"), "image", "time"}
    assert set(views.target.keys(True, True)) == {"b", "time", "valid"}


def test_the_present_is_time_zero() -> None:
    views = VIEWS(counting_batch())
    assert views.context["time"].tolist() == [[-1, 0]] * 2
    assert views.target["time"].tolist() == [[0, 1, 2, 3]] * 2


def test_padding_at_the_end_is_marked() -> None:
    assert VIEWS(counting_batch()).target["valid"].tolist() == [[True] * 4, [True, True, True, False]]


def test_longer_windows_change_nothing() -> None:
    short, long = VIEWS(counting_batch(5)), VIEWS(counting_batch(7))
    for name in ("context", "query"):
        assert (getattr(short, name) == getattr(long, name)).all()
    assert torch.equal(short.target["b"], long.target["b"])


def test_images_may_stop_at_the_present_unless_they_are_predicted() -> None:
    few = counting_batch(image_frames=2)
    VIEWS(few)
    with pytest.raises(ValueError, match="'image' has 2 frames in a window, 5 are needed: raise image_frames"):
        dataclasses.replace(VIEWS, target_keys=("image",))(few)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VIEWS(counting_batch(4)), "windows of 5 frames, the batch has 4"),
        (lambda: FutureViews(("c",), ("b",))(counting_batch()), "'c' is missing"),
        (lambda: FutureViews(("b",), ("b",), history=0), "at least 1"),
        (lambda: FutureViews(("b",), ("b",), horizon=0), "at least 1"),
        (lambda: FutureViews(("b",), ("b",), horizon=3, stride=2), "stride 2"),
        (lambda: FutureViews(("b", "time"), ("b",)), r"\['time'\] of its own: rename"),
    ],
)
def test_what_cannot_be_split_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
