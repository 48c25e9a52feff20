import math

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from view_world import view_learner

from worldjepa.evaluate.transformations import Group, Transformations, of_poses
from worldjepa.evaluate.view_features import ViewTable
from worldjepa.evaluate.view_retrieval import view_retrieval
from worldjepa.learner import Learner
from worldjepa.views import Poses


class Turn(nn.Module):
    """Predicts points on a circle by turning them; with ``factor`` 0 it predicts that nothing moves."""

    context_length = 1

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.transform = nn.Identity()
        self.factor = factor

    def forward(self, z: Tensor, query: TensorDict) -> Tensor:
        angle = self.factor * query["action"][:, :1, None, :1]
        x, y = z[:, :1, :, :1], z[:, :1, :, 1:]
        return torch.cat([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)


def learner(factor: float) -> Learner:
    found = view_learner()
    found.model.predictor = Turn(factor)
    return found


def circle(views: int = 8) -> ViewTable:
    """Views evenly around a circle, 5 objects alike but for where they begin."""
    angle = 2 * math.pi * torch.arange(views) / views + 0.1 * torch.arange(5)[:, None]
    z = torch.stack([angle.cos(), angle.sin()], -1)
    groups = (Group("angle", slice(0, 1), "linear"),)
    features = {"encoder": z, "target": z}
    return ViewTable(features, angle[..., None], None, torch.arange(5), Transformations(groups), consecutive=False)


def test_a_perfect_prediction_retrieves_the_right_view() -> None:
    found = view_retrieval(learner(1.0), circle(), 1)
    assert {name: x["estimate"] for name, x in found["model"].items()} == {"mrr": 1, "hit@1": 1, "hit@5": 1}
    assert found["num_views"] == 8
    assert found["chance"]["hit@1"] == 1 / 8


def test_copying_never_finds_the_right_view_first() -> None:
    """The copied view is itself among the candidates and nearest."""
    found = view_retrieval(learner(0.0), circle(), 1)
    assert found["model"] == found["copy"]
    assert found["copy"]["hit@1"]["estimate"] == 0
    assert 0 < found["copy"]["mrr"]["estimate"] <= 0.5


def test_the_rotation_of_the_nearest_view_is_compared() -> None:
    """Turned about z: a perfect prediction finds that very rotation, a copy is off by the half angle's sine."""
    table = circle(4)
    half = table.pose / 2
    rotation = torch.cat([torch.zeros(5, 4, 2), half.sin(), half.cos()], -1)

    class ByRotation(Turn):
        def forward(self, z: Tensor, query: TensorDict) -> Tensor:
            q = query["action"]
            angle = 2 * torch.atan2(q[..., 2:3], q[..., 3:])
            return super().forward(z, TensorDict({"action": angle}, batch_size=query.batch_size))

    poses = of_poses(Poses("rotation", ()), {"rotation": 4})
    turning = ViewTable(table.features, rotation, None, table.group, poses, consecutive=False)
    perfect, copying = view_learner(), view_learner()
    perfect.model.predictor, copying.model.predictor = ByRotation(), ByRotation(0.0)
    assert view_retrieval(perfect, turning, 1)["model"]["pre"]["estimate"] == pytest.approx(0, abs=1e-5)
    found = view_retrieval(copying, turning, 1, draws=30)
    assert found["model"]["pre"] == found["copy"]["pre"]
    # three other views, at 90, 180 and 270 degrees: 1 - cos^2 of the half angles is 0.5, 1 and 0.5
    assert found["copy"]["pre"]["estimate"] == pytest.approx(2 / 3, abs=0.08)


def test_predictors_of_one_view_are_asked_from_one() -> None:
    with pytest.raises(ValueError, match="from one view"):
        view_retrieval(learner(1.0), circle(), 2)
