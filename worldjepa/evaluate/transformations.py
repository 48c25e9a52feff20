"""What leads from one view to another: in which numbers it is told to a model, and in which groups it is scored.

A pose is all numbers that say how a view was taken, side by side: an orientation and hues, the parameters of an
augmentation, the place of a fixation, or the sum of the recorded actions so far. A transformation has as many numbers
as a pose. Letters: n samples, k views, p numbers of a pose, f features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.evaluate.frozen_probe import Kind
from worldjepa.types import nested
from worldjepa.views import Poses
from worldjepa.views.rotation import canonical


@dataclass(frozen=True)
class Group:
    """Numbers of a transformation that are scored together."""

    name: str
    columns: slice
    kind: Kind
    """Of the probe that reads them in the published protocol."""


AUGMENTATION = (
    Group("crop", slice(0, 4), "mlp"),
    Group("jitter", slice(4, 8), "mlp"),
    Group("blur", slice(8, 9), "linear"),
)
POSITION = (Group("position", slice(0, 2), "linear"),)


@dataclass(frozen=True)
class Transformations:
    """How poses are compared; make one with `of_poses`, or from groups alone where all are differences."""

    groups: tuple[Group, ...]
    poses: Poses | None = None
    """The keys of the pose and how a model is told a rotation; None: a transformation is a difference."""
    sizes: tuple[int, ...] = ()
    """Numbers of each key of ``poses``."""
    tell: Callable[[Tensor], Tensor] | None = None
    """Of all poses of a sequence, how a model is told its steps; None: as they are scored, but for the rotation's sign
    that ``poses`` chooses."""
    absolute: bool = True
    """Whether a pose by itself means anything: a sum of recorded actions does not."""
    num_told: int | None = None
    """Numbers of a transformation that the model is told, the first ones; None: all. The rest is only scored."""

    @property
    def has_rotation(self) -> bool:
        """Whether a pose begins with a quaternion."""
        return self.poses is not None and self.poses.rotation is not None

    def told(self, pose: Float[Tensor, "n k p"]) -> Float[Tensor, "n k1 a"]:
        """From each view to the next, as the model is told it."""
        return self._relative(pose, self.poses)[..., : self.num_told] if self.tell is None else self.tell(pose)

    def relative(self, pose: Float[Tensor, "n k p"]) -> Float[Tensor, "n k1 p"]:
        """From each view to the next, as it is scored: rotations with w >= 0."""
        as_scored = self.poses and Poses(self.poses.rotation, self.poses.differences, canonical=True)
        return self._relative(pose, as_scored)

    def single(self, pose: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        """Poses as they are scored: orientations with w >= 0.

        Raises:
            ValueError: a pose by itself means nothing here.
        """
        if not self.absolute:
            raise ValueError("views joined by recorded actions have no pose of their own to be read from one of them")
        if not self.has_rotation:
            return pose
        return torch.cat([canonical(pose[:, :4]), pose[:, 4:]], dim=1)

    def _relative(self, pose: Tensor, poses: Poses | None) -> Tensor:
        if poses is None:
            return pose[:, 1:] - pose[:, :-1]
        parts = zip(poses.keys, pose.split(self.sizes, dim=-1), strict=True)
        return poses.relative(TensorDict({nested(key): value for key, value in parts}, batch_size=pose.shape[:2]))


def of_poses(poses: Poses, sizes: Mapping[str, int], also: Sequence[str] = ()) -> Transformations:
    """Transformations between recorded poses, each observation a group: rotations for a perceptron, the rest linear.

    Args:
        poses: which observations the model is told the transformation of.
        sizes: numbers of each, and of each of ``also``.
        also: observations whose values and differences are scored too; those that the model is told already, once.
    """
    num_told = sum(sizes[key] for key in poses.keys)
    more = tuple(key for key in dict.fromkeys(also) if key not in poses.keys)
    poses = Poses(poses.rotation, (*poses.differences, *more), canonical=poses.canonical)
    groups, first = [], 0
    for key in poses.keys:
        kind: Any = "mlp" if key == poses.rotation else "linear"
        groups.append(Group(key, slice(first, first + sizes[key]), kind))
        first += sizes[key]
    return Transformations(tuple(groups), poses, tuple(sizes[key] for key in poses.keys), num_told=num_told)


def of_actions(size: int) -> Transformations:
    """Recorded actions of consecutive frames; over several frames, their sum."""
    return Transformations((Group("action", slice(0, size), "mlp"),), absolute=False)
