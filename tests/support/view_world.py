"""Objects whose every picture says, in its first pixels, of which class they are and how they are seen.

Pixels: 4 for the quaternion, 2 for the hues, 3 for the class, the rest noise; so probes of the pixels can be perfect.
"""

from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.data import Episode, RobomimicWriter, Store, open_store
from worldjepa.jepa import JEPA
from worldjepa.learner import Learner, Origin
from worldjepa.normalize import Normalizer
from worldjepa.objectives import LatentDistance, Sum
from worldjepa.predictors import AggregatePredictor
from worldjepa.targets import EMATarget
from worldjepa.types import DataSpec, ObsSpec
from worldjepa.views import Poses, SequenceViews

SIDE, CLASSES = 4, 3
POSES = Poses("rotation", ("floor_hue", "light_hue"))


def view_spec(side: int = SIDE) -> DataSpec:
    """Of a recording with pictures of ``side`` pixels."""
    sizes = {"rotation": 4, "floor_hue": 1, "light_hue": 1, "label": 1}
    states = {key: ObsSpec((size,), "float32") for key, size in sizes.items()}
    return DataSpec({"image": ObsSpec((side, side, 3), "uint8"), **states}, action_dim=6)


def view_episode(number: int, views: int, side: int = SIDE) -> Episode:
    """An object of class ``number`` % 3, turned by up to a right angle about each axis."""
    rng = np.random.default_rng(number)
    q = np.concatenate([rng.uniform(-0.4, 0.4, (views, 3)), np.ones((views, 1))], 1)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    hues = rng.uniform(size=(views, 2))
    image = rng.integers(0, 256, (views, 3 * side * side)).astype(np.float64)
    image[:, :9] = 255 * np.concatenate([(q + 1) / 2, hues, np.tile(np.eye(CLASSES)[number % CLASSES], (views, 1))], 1)
    obs = {
        "image": image.round().astype(np.uint8).reshape(views, side, side, 3),
        "rotation": q.astype(np.float32),
        "floor_hue": hues[:, :1].astype(np.float32),
        "light_hue": hues[:, 1:].astype(np.float32),
        "label": np.full((views, 1), number % CLASSES, np.float32),
    }
    return Episode(obs, rng.normal(size=(max(1, views - 1), 6)).astype(np.float32), name=f"demo_{number}")


def write_views(path: Path, objects: int = 30, views: int = 10, side: int = SIDE) -> Store:
    """A recording of objects, opened."""
    with RobomimicWriter(path, view_spec(side)) as writer:
        for number in range(objects):
            writer.append(view_episode(number, views, side))
    return open_store(path)


class FirstPixels(nn.Module):
    """Latents are the first pixels, in [-1, 1]."""

    num_tokens = 1

    def __init__(self, dim: int = 12):
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, view: TensorDict) -> Tensor:
        return self.scale * (view["image"].flatten(2)[..., None, : self.dim].float() / 127.5 - 1)


def view_learner(*, told: bool = True, encoder: nn.Module | None = None, recorded: bool = False) -> Learner:
    """A seq-JEPA of three views around an encoder, with random weights, in eval mode."""
    encoder = encoder or FirstPixels()
    options = {"condition_tokens": told, "condition_predictor": told, "dropout": 0.0, "num_heads": 2}
    predictor = AggregatePredictor(
        dim=encoder.dim,  # pyright: ignore[reportArgumentType]
        action_dim=6,
        action_embed=8,
        layers=1,
        hidden=16,
        **options,  # pyright: ignore[reportArgumentType]
    )
    views = SequenceViews(("image",), 3, None if recorded else POSES)
    model = JEPA(views, encoder, EMATarget(encoder), predictor)  # pyright: ignore[reportArgumentType]
    statistics = Normalizer.empty({"action": (6,)})
    statistics.load_state_dict({"shift_action": torch.full((6,), 0.5), "scale_action": torch.full((6,), 2.0)})
    return Learner(
        statistics, model, Sum((1.0, LatentDistance("cosine"))), Origin("seq_jepa", None, view_spec())
    ).eval()
