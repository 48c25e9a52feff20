"""Distances between predicted and target latents."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.reduce import blank, masked_mean
from worldjepa.types import Prediction

Distance = Literal["l1", "l2", "smooth_l1", "cosine"]


def _elementwise(loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of torch as [..., D] x [..., D] -> [...]: the mean over features."""
    return lambda a, b: loss(a, b, reduction="none").mean(-1)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": _elementwise(F.l1_loss),
    "l2": _elementwise(F.mse_loss),
    "smooth_l1": _elementwise(F.smooth_l1_loss),
    "cosine": lambda a, b: 1.0 - F.cosine_similarity(a, b, dim=-1),
}


class LatentDistance(nn.Module):
    """Mean distance between predicted and target latents over what ``Prediction.weight`` keeps.

    l1 is ACT-JEPA's loss (arXiv 2501.14622, L_obs), cosine seq-JEPA's, smooth_l1 and l2 those of image JEPAs.

    Args:
        kind: "l1", "l2" (mean squared), "smooth_l1" (beta 1), or "cosine" (1 - similarity, in [0, 2]).
        name: prefix of the scalar's name.

    Raises:
        ValueError: ``kind`` is none of these.
    """

    def __init__(self, kind: Distance = "l1", *, name: str = ""):
        super().__init__()
        if kind not in DISTANCES:
            raise ValueError(f"kind must be one of {sorted(DISTANCES)}, got {kind!r}")
        self.kind = kind
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"latent_<kind>": scalar}. ``batch`` is not read."""
        if prediction.predicted is None or prediction.target is None:
            raise ValueError("LatentDistance needs a model with a predictor and a target; this one has none")
        target = blank(prediction.target, prediction.weight)
        distance = DISTANCES[self.kind](prediction.predicted, target)
        return prefixed(self.name, {f"latent_{self.kind}": masked_mean(distance, prediction.weight)})


def copy_ratio(prediction: Prediction) -> Tensor:
    """L1 error of the predicted steps over that of copying step 0 forward; below 1 is better than copying.

    Returns:
        Scalar. Meaningful where targets are a sequence whose first element is the present (ACT-JEPA), which is not
        counted: copying it is free.

    Raises:
        ValueError: no predictor, or targets of one step.
    """
    if prediction.predicted is None or prediction.target is None:
        raise ValueError("copy_ratio needs a model with a predictor and a target; this one has none")
    if prediction.target.shape[1] < 2:
        raise ValueError("copy_ratio needs targets of at least 2 steps, got 1")
    with torch.no_grad():
        target, weight = prediction.target[:, 1:], prediction.weight
        weight = None if weight is None else weight[:, 1:]
        error = DISTANCES["l1"](prediction.predicted[:, 1:], target)
        copied = DISTANCES["l1"](prediction.target[:, :1].expand_as(target), target)
        return masked_mean(error, weight) / masked_mean(copied, weight).clamp_min(1e-12)
