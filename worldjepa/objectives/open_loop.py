"""The multi-step loss: each step is predicted from imagined latents, as in planning."""

from typing import Protocol

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.distance import DISTANCES, Distance
from worldjepa.objectives.reduce import blank, masked_mean
from worldjepa.types import Prediction


class Imagines(Protocol):
    """A predictor that can be rolled out."""

    def rollout(self, z: Tensor, action: Tensor) -> Tensor:
        """[B, Tc, N, D] and [B, Tc-1+H, A] -> [B, H, N, D]."""
        ...


class OpenLoop(nn.Module):
    """Distance of an imagined rollout to the target latents of the same frames.

    Needs views whose context is all frames and whose target is frames 1 to T (`views.TransitionViews`).

    Args:
        predictor: of the model that is trained; kept by reference, so that it stays the model's alone.
        history: frames of the context, >= 1.
        steps: H >= 1 imagined frames; None: as many as the window has.
        kind: of `LatentDistance`.
        name: prefix of the scalar's name.

    Raises:
        ValueError: sizes below 1, an unknown ``kind``, a predictor without ``rollout``.
    """

    def __init__(
        self, predictor: nn.Module, history: int = 1, steps: int | None = None, kind: Distance = "l2", *, name: str = ""
    ):
        super().__init__()
        if history < 1 or (steps is not None and steps < 1):
            raise ValueError(f"history and steps must be at least 1, got {history} and {steps}")
        if kind not in DISTANCES:
            raise ValueError(f"kind must be one of {sorted(DISTANCES)}, got {kind!r}")
        if not hasattr(predictor, "rollout"):
            raise ValueError(f"{type(predictor).__name__} cannot be rolled out: an open-loop loss needs actions")
        self._predictor: tuple[Imagines] = (predictor,)  # pyright: ignore[reportAttributeAccessIssue]
        self.history = history
        self.steps = steps
        self.kind = kind
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"open_loop": scalar}: a step counts if all from the first context frame on are recorded.

        Raises:
            ValueError: no target, or windows too short.
        """
        if prediction.target is None:
            raise ValueError("an open-loop loss needs a model with a predictor and a target; this one has none")
        num_frames = prediction.target.shape[1] + 1
        steps = num_frames - self.history if self.steps is None else self.steps
        stop = self.history + steps
        if steps < 1 or stop > num_frames or prediction.context.shape[1] < self.history:
            raise ValueError(
                f"an open loop of {steps} steps after {self.history} frames needs {max(stop, self.history + 1)} frames "
                f"of latents, got a context of {prediction.context.shape[1]} and targets up to frame {num_frames - 1}"
            )
        now = slice(self.history - 1, stop - 1)  # target[:, t] are the latents of frame t + 1
        z, action, weight = prediction.context[:, : self.history], batch["action"][:, : stop - 1], prediction.weight
        target = prediction.target[:, now]
        if weight is not None:
            real = _unbroken(weight[:, : stop - 1])
            z = blank(z, real[:, self.history - 1, None, None].expand(z.shape[:3]))
            action = blank(action, real)
            weight = torch.where(real[:, now, None], weight[:, now], 0.0)
            target = blank(target, weight)
        imagined = self._predictor[0].rollout(z, action)
        return prefixed(self.name, {"open_loop": masked_mean(DISTANCES[self.kind](imagined, target), weight)})


def _unbroken(weight: Float[Tensor, "b t n"]) -> Bool[Tensor, "b t"]:
    """True up to the first transition that is not recorded."""
    return (weight > 0).any(2).long().cumprod(1) > 0
