"""Sets of views of test objects, by the view function that a model was trained with.

Objects have recorded views, of which some are drawn; of a picture, views are made; a robot's frames are taken as they
follow each other. Letters: o sets, v views of each, p numbers of a pose.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.data import Store, ViewSampler, WindowSampler
from worldjepa.evaluate.transformations import AUGMENTATION, POSITION, Transformations, of_actions, of_poses
from worldjepa.types import nested
from worldjepa.views import PairViews, Poses, SequenceViews
from worldjepa.views.augment import AugmentedViews

LABEL = "label"
"""Observation that holds the number of an object's class."""


@dataclass(frozen=True)
class DrawnViews:
    """Some sets of views."""

    obs: TensorDict
    """Raw observations [b, v, ...]."""
    pose: Float[Tensor, "b v p"]
    label: Int[Tensor, "b"] | None


class ViewSets(Protocol):
    """Where views come from; the same ones at every call."""

    group: Int[Tensor, "o"]
    """Episode in the store of each set."""
    transformations: Transformations
    num_views: int
    """V, views of a set."""
    consecutive: bool
    """Whether the views of a set are frames in their order."""

    def __len__(self) -> int: ...

    def at(self, chosen: Sequence[int] | range) -> DrawnViews:
        """The sets of these numbers."""
        ...


class RecordedViews:
    """Views of objects drawn without replacement from those recorded, with recorded poses.

    Args:
        store: the data.
        episodes: the objects.
        image_key: what encoders see.
        poses: which observations say how a view was taken, as the model is told it.
        also: further ones, see `transformations.of_poses`.
        num_views: V; None: as many as the object with the fewest has, at most ``most``.
        most: see there.
        seed: of the draw.

    Raises:
        ValueError: fewer recorded views, unknown observations.
    """

    consecutive = False

    def __init__(
        self,
        store: Store,
        episodes: Sequence[int] | ndarray,
        *,
        image_key: str,
        poses: Poses,
        also: Sequence[str] = (),
        num_views: int | None = None,
        most: int = 50,
        seed: int = 0,
    ):
        chosen = np.asarray(episodes, dtype=np.int64)
        fewest = int((store.ends - store.starts)[chosen].min())
        states = [key for key, leaf in store.spec.obs.items() if leaf.kind == "state"]
        if unknown := [key for key in also if key not in states]:
            raise ValueError(f"the data have no states {unknown} to read; they have {states}")
        sizes = {key: math.prod(store.spec.obs[key].shape) for key in (*poses.keys, *also)}
        self.transformations = of_poses(poses, sizes, also)
        self._pose_keys = tuple(dict.fromkeys((*poses.keys, *also)))
        self._keys = (image_key, *self._pose_keys, *_label_keys(store))
        self.num_views = min(most, fewest) if num_views is None else num_views
        self._sampler = ViewSampler(
            store, episodes=chosen, views=self.num_views, batch_size=1, keys=tuple(dict.fromkeys(self._keys)), seed=seed
        )
        self.group = torch.from_numpy(chosen)

    def __len__(self) -> int:
        return len(self.group)

    def at(self, chosen: Sequence[int] | range) -> DrawnViews:
        """The sets of these numbers."""
        obs = self._sampler.at(np.asarray(chosen))["obs"]
        pose = torch.cat([obs[nested(key)].flatten(2).float() for key in self._pose_keys], dim=-1)
        return DrawnViews(obs, pose, _labels(obs))


class ConsecutiveViews:
    """Frames of a robot's episode as they follow each other; poses are sums of the recorded actions.

    Args:
        store: the data.
        episodes: which of them.
        image_key: what encoders see.
        num_views: V.
        stride: recorded steps from one frame to the next.
        most: windows, drawn at random.
        seed: of the draw.

    Raises:
        ValueError: no episode is as long.
    """

    consecutive = True

    def __init__(
        self,
        store: Store,
        episodes: Sequence[int] | ndarray,
        *,
        image_key: str,
        num_views: int,
        stride: int = 1,
        most: int = 1000,
        seed: int = 0,
    ):
        self._sampler = WindowSampler(
            store,
            episodes=episodes,
            batch_size=1,
            history=1,
            horizon=num_views - 1,
            stride=stride,
            image_frames=num_views,
            keys=tuple(dict.fromkeys((image_key, *_label_keys(store)))),
            pad_front=False,
            pad_back=False,
        )
        anchors = np.random.default_rng(seed).permutation(len(self._sampler))[:most]
        self._anchors, self.num_views = np.sort(anchors), num_views
        self.group = torch.from_numpy(self._sampler.place(self._anchors)[0])
        self.transformations = of_actions(store.spec.action_dim * stride)

    def __len__(self) -> int:
        return len(self._anchors)

    def at(self, chosen: Sequence[int] | range) -> DrawnViews:
        """The sets of these numbers."""
        batch = self._sampler.at(self._anchors[np.asarray(chosen)])
        moved = batch["action"].double().cumsum(1)
        pose = torch.cat([torch.zeros_like(moved[:, :1]), moved], dim=1).float()
        return DrawnViews(batch["obs"], pose, _labels(batch["obs"]))


class MadeViews:
    """Views made of pictures by a view function, as `AugmentedViews` and `SaccadeViews` do, all by the law of observed
    ones.

    Args:
        store: pictures, each an episode of one row.
        episodes: which of them.
        views: has ``views_of(batch, num_views, generator)``, ``relative(parameters)`` and ``action_dim``.
        keys: observations that it reads.
        num_views: V.
        seed: of the views; those of a picture depend on it and on the picture alone.
    """

    consecutive = False

    def __init__(
        self,
        store: Store,
        episodes: Sequence[int] | ndarray,
        *,
        views: Any,
        keys: Sequence[str],
        num_views: int,
        seed: int = 0,
    ):
        chosen = np.asarray(episodes, dtype=np.int64)
        wanted = tuple(dict.fromkeys((*keys, *_label_keys(store))))
        self._sampler = ViewSampler(store, episodes=chosen, views=1, batch_size=1, keys=wanted, seed=seed)
        self._views, self.num_views, self._seed = views, num_views, seed
        self._law = {"predicted": 0} if isinstance(views, AugmentedViews) else {}
        self.group = torch.from_numpy(chosen)
        groups = AUGMENTATION if views.action_dim == AUGMENTATION[-1].columns.stop else POSITION
        self.transformations = Transformations(groups, tell=views.relative)

    def __len__(self) -> int:
        return len(self.group)

    def at(self, chosen: Sequence[int] | range) -> DrawnViews:
        """The sets of these numbers."""
        made = []
        for number in chosen:
            batch = self._sampler.at([number])
            drawn = np.random.default_rng([self._seed, int(self.group[number])]).integers(2**63)
            generator = Generator().manual_seed(int(drawn))
            made.append((self._views.views_of(batch, self.num_views, generator, **self._law), _labels(batch["obs"])))
        obs = torch.cat([one["obs"] for one, _ in made])
        labels = [label for _, label in made if label is not None]
        return DrawnViews(obs, torch.cat([x["parameters"] for x, _ in made]), torch.cat(labels) if labels else None)


def find_view_sets(
    views: Any,
    store: Store,
    episodes: Sequence[int] | ndarray,
    *,
    keys: Sequence[str],
    stride: int = 1,
    num_views: int | None = None,
    longest: int = 8,
    most: int = 500,
    seed: int = 0,
    also: Sequence[str] = (),
) -> ViewSets:
    """Sets of views of the kind that a model was trained on.

    Args:
        views: the model's view function.
        store: the data.
        episodes: the objects.
        keys: observations that the model was trained on, the image first.
        stride: recorded steps between consecutive frames.
        num_views: of each set; None: all recorded ones up to 50, or one more than ``longest`` where they are made.
        longest: most views of a sequence, without the one that follows it.
        most: sets, of objects drawn at random.
        seed: of the draws.
        also: recorded states that are scored though the model is not told them; of view sets alone.

    Raises:
        ValueError: the view function is of another kind; states asked for where views have none; as of the sets.
    """
    views = views.views if isinstance(views, PairViews) else views
    chosen = np.random.default_rng(seed).permutation(np.asarray(episodes, dtype=np.int64))
    counted = longest + 1 if num_views is None else num_views
    if also and not (isinstance(views, SequenceViews) and views.poses is not None):
        raise ValueError(f"{list(also)} can be read from sets of recorded views alone; these views are of another kind")
    if isinstance(views, SequenceViews) and views.poses is None:
        options = {"num_views": counted, "stride": stride, "most": most, "seed": seed}
        return ConsecutiveViews(store, np.sort(chosen), image_key=keys[0], **options)
    few = np.sort(chosen[:most])
    if isinstance(views, SequenceViews) and views.poses is not None:
        return RecordedViews(
            store, few, image_key=keys[0], poses=views.poses, also=also, num_views=num_views, seed=seed
        )
    if hasattr(views, "views_of"):
        return MadeViews(store, few, views=views, keys=keys, num_views=counted, seed=seed)
    raise ValueError(
        f"{type(views).__name__} makes no sequences of views: the equivariance suite needs a run of recipe seq_jepa or "
        "view_pairs"
    )


def _label_keys(store: Store) -> tuple[str, ...]:
    return (LABEL,) if LABEL in store.spec.obs else ()


def _labels(obs: TensorDict) -> Int[Tensor, "b"] | None:
    """Classes of the sets, read from their first views."""
    found = obs.get(LABEL, None)
    return None if found is None else found[:, 0].reshape(-1).round().long()
