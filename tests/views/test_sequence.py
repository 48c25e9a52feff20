"""Sequences of views: what is seen, what is predicted, and the actions between."""

import pytest
import torch
from scipy.spatial.transform import Rotation
from tensordict import TensorDict

from worldjepa.views import Poses, SequenceViews
from worldjepa.views.sequence import relative_action


def batch_of(views: int, *, size: int = 5, seed: int = 0) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(size, views, 4, generator=generator)
    obs = {
        "image": torch.randint(256, (size, views, 4, 4, 3), generator=generator, dtype=torch.uint8),
        "rotation": q / q.norm(dim=-1, keepdim=True),
        "floor_hue": torch.rand(size, views, 1, generator=generator),
        "light_hue": torch.rand(size, views, 1, generator=generator),
    }
    return TensorDict(
        {
            "obs": TensorDict(obs, batch_size=[size]),
            "action": torch.randn(size, views - 1, 6, generator=generator),
            "valid": torch.ones(size, views, dtype=torch.bool),
            "action_valid": torch.ones(size, views - 1, dtype=torch.bool),
        },
        batch_size=[size],
    )


def test_actions_are_the_transformations_between_recorded_poses() -> None:
    batch = batch_of(4)
    views = SequenceViews(("image",), 3, Poses())(batch)
    assert torch.equal(views.context["image"], batch["obs", "image"][:, :3])
    assert torch.equal(views.target["image"], batch["obs", "image"][:, 3:])
    action = views.query["action"]
    assert action.shape == (5, 3, 6)
    for row in range(5):
        for i in range(3):
            here, there = (Rotation.from_quat(batch["obs", "rotation"][row, k].numpy()) for k in (i, i + 1))
            turned = torch.from_numpy((here.inv() * there).as_quat(canonical=True)).float()
            torch.testing.assert_close(action[row, i, :4], turned, atol=1e-5, rtol=0)
    hue = batch["obs", "floor_hue"]
    torch.testing.assert_close(action[:, :, 4:5], hue[:, 1:] - hue[:, :-1])
    assert views.target["valid"].all()


def test_signs_of_quaternions_are_canonical_unless_asked() -> None:
    batch = batch_of(3, size=40)
    free = SequenceViews(("image",), 2, Poses(canonical=False))(batch).query["action"][..., :4]
    fixed = SequenceViews(("image",), 2, Poses())(batch).query["action"][..., :4]
    assert (free[..., 3] < 0).any()
    assert (fixed[..., 3] >= 0).all()
    torch.testing.assert_close(free.abs(), fixed.abs())


def test_poses_may_be_a_rotation_or_differences_alone() -> None:
    obs = batch_of(4)["obs"]
    whole = relative_action(obs, Poses())
    torch.testing.assert_close(relative_action(obs, Poses("rotation", ())), whole[..., :4])
    torch.testing.assert_close(relative_action(obs, Poses(None, ("light_hue",))), whole[..., 5:])
    with pytest.raises(ValueError, match="name at least one observation"):
        Poses(None, ())


def test_recorded_actions_are_taken_as_they_are() -> None:
    batch = batch_of(4)
    batch["action_valid"][0, 1] = False
    batch["valid"][1, 3] = False
    batch["valid"][2, 0] = False
    views = SequenceViews(("image",), 3)(batch)
    assert torch.equal(views.query["action"], batch["action"])
    assert views.target["valid"].flatten().tolist() == [False, False, False, True, True]
    assert SequenceViews(("image",), 2)(batch).query["action"].shape == (5, 2, 6)


def test_poses_do_not_ask_for_recorded_actions() -> None:
    batch = batch_of(4)
    batch["action_valid"][:] = False
    assert SequenceViews(("image",), 3, Poses())(batch).target["valid"].all()


def test_what_cannot_be_made_a_sequence() -> None:
    views = SequenceViews(("image",), 3, Poses())
    with pytest.raises(ValueError, match=r"3 observed views and one to predict need sequences of 4 views.* has 3"):
        views(batch_of(3))
    batch = batch_of(4)
    batch["obs", "rotation"][2, 1] *= 1.1
    with pytest.raises(ValueError, match=r"'rotation' must hold unit quaternions.* norm 1.1"):
        views(batch)
    batch = batch_of(4)
    batch["obs", "rotation"] = torch.ones(5, 4, 3)
    with pytest.raises(ValueError, match=r"must be quaternions \(x, y, z, w\), got 3 numbers"):
        views(batch)
    del batch["obs", "rotation"]
    with pytest.raises(ValueError, match="'rotation' is missing"):
        views(batch)
    with pytest.raises(ValueError, match="at least one observed view"):
        SequenceViews(("image",), 0)
