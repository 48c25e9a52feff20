"""Views of seq-JEPA: M observed views, one to predict, and the transformations that join them (arXiv 2505.03176)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.types import Views, nested
from worldjepa.views.rotation import canonical, known_unit, relative_rotation
from worldjepa.views.temporal import frames


@dataclass(frozen=True)
class Poses:
    """Which observations say how an object is seen, and how the way from one view to another is written."""

    rotation: str | None = "rotation"
    """Orientation of the object, a unit quaternion (x, y, z, w), object to world; None: it does not turn."""
    differences: tuple[str, ...] = ("floor_hue", "light_hue")
    """Further observations, whose differences are taken."""
    canonical: bool = True
    """Write a relative rotation with w >= 0; otherwise its sign is that of the product."""

    def __post_init__(self) -> None:
        if self.rotation is None and not self.differences:
            raise ValueError("a pose needs a rotation or differences: name at least one observation")

    @property
    def keys(self) -> tuple[str, ...]:
        """Observation keys that are read."""
        return (*((self.rotation,) if self.rotation is not None else ()), *self.differences)

    def relative(self, obs: TensorDict) -> Float[Tensor, "b m a"]:
        """From each view to the next: [relative quaternion, differences] of observations [B, M+1, ...].

        Raises:
            ValueError: an observation is missing, or is no unit quaternion (`known_unit`).
        """
        values = {key: _value(obs, key) for key in self.keys}
        parts = []
        if self.rotation is not None:
            q = values[self.rotation]
            if q.shape[-1] != 4:
                raise ValueError(f"{self.rotation!r} must be quaternions (x, y, z, w), got {q.shape[-1]} numbers")
            q = known_unit(q, self.rotation)
            turned = relative_rotation(q[:, :-1], q[:, 1:])
            parts.append(canonical(turned) if self.canonical else turned)
        parts += [values[key][:, 1:] - values[key][:, :-1] for key in self.differences]
        return torch.cat(parts, dim=-1)


def relative_action(obs: TensorDict, poses: Poses) -> Float[Tensor, "b m a"]:
    """The actions that join views [B, M+1] in their order; see `Poses.relative`."""
    return poses.relative(obs)


@dataclass(frozen=True)
class SequenceViews:
    """Context: the first M views. Target: the view after them. Query: the action from each view to the next.

    ``query["action"][:, i]`` takes view i to view i + 1, so the last one leads to the target.
    """

    keys: tuple[str, ...]
    """Observations the encoder sees."""
    observed: int = 3
    """M >= 1."""
    poses: Poses | None = None
    """Where actions come from: the views' poses; None: the recorded actions, the views being consecutive frames."""

    def __post_init__(self) -> None:
        if self.observed < 1:
            raise ValueError(f"expected at least one observed view, got {self.observed}")

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs ``obs`` [B, >= M+1, ...]. The target counts where all its views, and recorded actions, are valid.

        Raises:
            ValueError: the batch's windows are too short, a pose is missing or is no unit quaternion.
        """
        count = self.observed + 1
        valid = batch["valid"]
        if valid.shape[1] < count:
            raise ValueError(
                f"{self.observed} observed views and one to predict need sequences of {count} views, the batch has "
                f"{valid.shape[1]}: observe fewer, or lengthen the windows"
            )
        context = frames(batch, self.keys, slice(0, self.observed))
        target = frames(batch, self.keys, slice(self.observed, count))
        known = valid[:, :count].all(1, keepdim=True)
        if self.poses is None:
            action = batch["action"][:, : self.observed]
            acted = batch.get("action_valid", None)
            known = known if acted is None else known & acted[:, : self.observed].all(1, keepdim=True)
        else:
            action = self.poses.relative(frames(batch, self.poses.keys, slice(0, count)))
        target["valid"] = known
        return Views(context, target, TensorDict({"action": action}, batch_size=batch.batch_size))


def _value(obs: TensorDict, key: str) -> Tensor:
    value = obs.get(nested(key), None)
    if value is None:
        raise ValueError(f"observation {key!r} is missing; there are {sorted(map(str, obs.keys(True, True)))}")
    return value
