"""Features of the views of many objects, each view encoded once by every encoder that is compared.

Letters: o sets of views (an object's, or those made of a picture), v views of each, p numbers of a pose, f features,
n sequences, k views of a sequence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tensordict import TensorDict
from torch import Tensor

from worldjepa.evaluate.transformations import Transformations
from worldjepa.evaluate.view_sets import ViewSets
from worldjepa.learner import Learner
from worldjepa.types import nested

Features = Callable[[TensorDict], Tensor]
"""Raw observations [B, V, ...] -> features [B, V, F]."""
PIXEL_SIDE = 16
"""Pixels of a side of the pictures that stand for raw pixels."""


@dataclass(frozen=True)
class ViewTable:
    """Views of many objects: what encoders say of them, how they were taken, and of what they are."""

    features: dict[str, Float[Tensor, "o v f"]]
    """By the name of the encoder."""
    pose: Float[Tensor, "o v p"]
    label: Int[Tensor, "o"] | None
    """Classes; -1 where unknown. None: the data have none."""
    group: Int[Tensor, "o"]
    """Episode in the store: sets of one episode are not independent."""
    transformations: Transformations
    """How poses are compared."""
    consecutive: bool
    """Whether the views of a set are frames in their order."""

    @property
    def num_views(self) -> int:
        """V."""
        return self.pose.shape[1]

    def rows(self, chosen: Int[Tensor, "m"] | Bool[Tensor, "o"]) -> "ViewTable":
        """Some of the sets."""
        features = {name: value[chosen] for name, value in self.features.items()}
        label = None if self.label is None else self.label[chosen]
        return replace(self, features=features, pose=self.pose[chosen], label=label, group=self.group[chosen])


@dataclass(frozen=True)
class Sequences:
    """Sequences of views drawn from a table: of each, its set and the views in their order."""

    table: ViewTable
    row: Int[Tensor, "n"]
    view: Int[Tensor, "n k"]

    @property
    def group(self) -> Int[Tensor, "n"]:
        """The episode of each."""
        return self.table.group[self.row]

    @property
    def pose(self) -> Float[Tensor, "n k p"]:
        """How the views were taken."""
        return self.table.pose[self.row[:, None], self.view]

    def features(self, name: str) -> Float[Tensor, "n k f"]:
        """What an encoder says of the views."""
        return self.table.features[name][self.row[:, None], self.view]

    @property
    def label(self) -> Int[Tensor, "n"]:
        """The class of each.

        Raises:
            ValueError: the data have none.
        """
        if self.table.label is None:
            raise ValueError('classes need an observation "label", and the data have none')
        return self.table.label[self.row]


@torch.no_grad()
def encode_views(models: Mapping[str, Features], sets: ViewSets, *, batch_size: int = 32) -> ViewTable:
    """Encode every view of every set once with every encoder.

    Args:
        models: encoders by name, in eval mode.
        sets: where the views come from.
        batch_size: sets at a time.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in models}
    poses, labels = [], []
    for first in range(0, len(sets), batch_size):
        drawn = sets.at(range(first, min(first + batch_size, len(sets))))
        for name, model in models.items():
            found[name].append(model(drawn.obs).float().cpu())
        poses.append(drawn.pose.cpu())
        if drawn.label is not None:
            labels.append(drawn.label.cpu())
    features = {name: torch.cat(parts) for name, parts in found.items()}
    label = torch.cat(labels) if labels else None
    return ViewTable(features, torch.cat(poses), label, sets.group, sets.transformations, sets.consecutive)


def draw_sequences(table: ViewTable, views: int, *, draws: int = 1, seed: int = 0) -> Sequences:
    """Sequences of different views of one set in random order, or runs of consecutive ones.

    Args:
        table: whose views.
        views: K, of each sequence.
        draws: sequences of each set.
        seed: of the choice.

    Raises:
        ValueError: the sets have fewer views.
    """
    if not 1 <= views <= table.num_views:
        raise ValueError(
            f"sequences of {views} views were asked for, and {table.num_views} of each object are there: shorten "
            "--lengths, raise --views, or record more views"
        )
    rng = np.random.default_rng([seed, views])
    row = np.arange(len(table.pose)).repeat(draws)
    if table.consecutive:
        view = rng.integers(table.num_views - views + 1, size=len(row))[:, None] + np.arange(views)
    else:
        view = rng.random((len(row), table.num_views)).argsort(1)[:, :views]
    return Sequences(table, torch.from_numpy(row), torch.from_numpy(view))


def online_features(learner: Learner, image_key: str) -> Features:
    """What the encoder of a learner in eval mode says, on the learner's device."""
    device = next(learner.parameters()).device
    return lambda obs: learner.encode(obs.select(nested(image_key)).to(device)).flatten(2)


def target_features(learner: Learner, image_key: str) -> Features:
    """What its target encoder says.

    Raises:
        ValueError: it has none.
    """
    target = learner.model.target
    if target is None:
        raise ValueError("this model has no target encoder: it predicts nothing")
    device = next(learner.parameters()).device
    return lambda obs: target(learner.normalizer.observations(obs.select(nested(image_key)).to(device))).flatten(2)


def pixel_features(image_key: str) -> Features:
    """The pixels themselves, averaged to 16 x 16: the floor that any encoder must beat."""

    def features(obs: TensorDict) -> Tensor:
        images = obs[nested(image_key)]
        flat = images.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        side = min(PIXEL_SIDE, *flat.shape[2:])
        return F.interpolate(flat, size=(side, side), mode="area").reshape(*images.shape[:2], -1)

    return features
