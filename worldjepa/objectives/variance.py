"""Variance and covariance penalties against collapse (VICReg, arXiv 2105.04906, equations 1 to 4)."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.reduce import gather_rows, widen
from worldjepa.types import Prediction


def variance_hinge(rows: Float[Tensor, "n d"], threshold: float = 1.0, eps: float = 1e-4) -> Float[Tensor, ""]:
    """Mean over features of ``max(0, threshold - std)``; zero when every feature spreads enough (VICReg eq. 1)."""
    std = torch.sqrt(widen(rows).var(dim=0) + eps)
    return F.relu(threshold - std).mean()


def covariance_penalty(rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Sum of squared off-diagonal covariances over D; zero when features are uncorrelated (VICReg eq. 3 and 4)."""
    rows = widen(rows)
    centred = rows - rows.mean(dim=0)
    with torch.autocast(rows.device.type, enabled=False):  # it would multiply in bfloat16
        covariance = centred.T @ centred / (rows.shape[0] - 1)
    return (covariance - torch.diag(covariance.diagonal())).square().sum() / rows.shape[1]


class VarianceCovariance(nn.Module):
    """VICReg's two penalties on context or predicted latents, over the rows of all processes.

    Args:
        of: which latents of the prediction: "context" or "predicted".
        threshold: standard deviation below which a feature is penalised, > 0.

    Raises:
        ValueError: fewer than two rows reach the loss, or ``of`` is unknown.
    """

    def __init__(self, of: Literal["context", "predicted"] = "context", threshold: float = 1.0):
        super().__init__()
        if of not in ("context", "predicted"):
            raise ValueError(f'of must be "context" or "predicted", got {of!r}')
        self.of = of
        self.threshold = threshold

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"variance": scalar, "covariance": scalar}. ``batch`` is not read."""
        latents = prediction.context if self.of == "context" else prediction.predicted
        if latents is None:
            raise ValueError(
                "VarianceCovariance of predicted latents needs a model with a predictor; this one has none"
            )
        rows = gather_rows(latents.flatten(0, -2))
        if rows.shape[0] < 2:
            raise ValueError(f"variance needs at least 2 latent vectors over all processes, got {rows.shape[0]}")
        return {"variance": variance_hinge(rows, self.threshold), "covariance": covariance_penalty(rows)}
