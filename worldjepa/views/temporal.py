"""Views along time: what is seen now, what must be predicted of the future."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from tensordict import TensorDict
from torch import Generator

from worldjepa.types import Views, nested


@dataclass(frozen=True)
class FutureViews:
    """Context: the first ``history`` frames. Target: the present and the ``horizon`` frames after it. Query: actions.

    Padded frames before an episode's start repeat its first frame; they are part of the context because a policy sees
    them too. Padded frames after its end are marked in the target's "valid".
    """

    context_keys: tuple[str, ...]
    """Observations the encoder sees."""
    target_keys: tuple[str, ...]
    """Observations whose latents are predicted."""
    history: int = 1
    """Tc >= 1: the last context frame is the present."""
    horizon: int = 1
    """H >= 1: transitions after the present that the target reaches."""
    stride: int = 1
    """Every how many transitions a target frame is taken; divides H, and Tt = H / stride + 1."""

    in_time: ClassVar[bool] = True
    """Targets are consecutive steps, see `ViewFunction`."""

    def __post_init__(self) -> None:
        if self.history < 1 or self.horizon < 1 or self.stride < 1 or self.horizon % self.stride:
            raise ValueError(
                f"expected history and horizon of at least 1 and a stride that divides the horizon, got history "
                f"{self.history}, horizon {self.horizon}, stride {self.stride}"
            )
        taken = sorted({"time", "valid"} & {*self.context_keys, *self.target_keys})
        if taken:
            raise ValueError(f"a view has entries {taken} of its own: rename these observations, or leave them out")

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs ``obs`` [B, >= history + horizon, ...] for target keys and [B, >= history, ...] for context keys.

        Raises:
            ValueError: the batch's windows are too short.
        """
        now, stop = self.history - 1, self.history + self.horizon
        valid = batch["valid"]
        if valid.shape[1] < stop:
            raise ValueError(f"the views need windows of {stop} frames, the batch has {valid.shape[1]}: lengthen them")
        context = frames(batch, self.context_keys, slice(0, self.history))
        context["time"] = torch.arange(-now, 1, device=valid.device).expand(len(batch), -1)
        steps = slice(now, stop, self.stride)
        target = frames(batch, self.target_keys, steps)
        target["time"] = torch.arange(0, self.horizon + 1, self.stride, device=valid.device).expand(len(batch), -1)
        target["valid"] = valid[:, steps]
        query = TensorDict({"action": batch["action"][:, : stop - 1]}, batch_size=batch.batch_size)
        return Views(context, target, query)


def frames(batch: TensorDict, keys: tuple[str, ...], steps: slice) -> TensorDict:
    """The observations ``keys`` of a batch at ``steps``: a view [B, Tv].

    Raises:
        ValueError: a key is missing or has too few frames.
    """
    obs = batch["obs"]
    view = TensorDict({}, batch_size=[len(batch), len(range(steps.stop)[steps])])
    for key in keys:
        value = obs.get(nested(key), None)
        if value is None:
            raise ValueError(f"observation {key!r} is missing; the batch has {sorted(map(str, obs.keys(True, True)))}")
        if value.shape[1] < steps.stop:
            raise ValueError(
                f"observation {key!r} has {value.shape[1]} frames in a window, {steps.stop} are needed: "
                "raise image_frames if it is an image that is predicted"
            )
        view[nested(key)] = value[:, steps]
    return view
