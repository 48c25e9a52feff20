"""The linear model of the latents: the floor that a learned predictor must beat, beside copying the present.

z' = z A + a B + c, ridge regression on the true latents of training windows, rolled out on its own predictions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

MAX_ROWS = 20_000


@dataclass(frozen=True)
class LinearModel:
    """One ridge regression from latents and action to the next latents, all standardised inside."""

    mean: Float[Tensor, "i"]
    std: Float[Tensor, "i"]
    weight: Float[Tensor, "i f"]
    bias: Float[Tensor, "f"]
    """Of the change of the latents."""

    def rollout(self, z: Float[Tensor, "n f"], action: Float[Tensor, "n h w"]) -> Float[Tensor, "n h1 f"]:
        """Latents of steps 0..H from those of the present."""
        steps = [z]
        for told in action.unbind(1):
            x = (torch.cat([steps[-1], told], 1) - self.mean) / self.std
            steps.append(steps[-1] + x @ self.weight + self.bias)
        return torch.stack(steps, 1)


def fit_linear_model(
    latents: Float[Tensor, "n h1 f"], action: Float[Tensor, "n h w"], *, alpha: float = 1e-3, seed: int = 0
) -> LinearModel:
    """Fit on all transitions of the windows, at most 20,000 of them.

    Args:
        latents: true ones of steps 0..H.
        action: between them; [n, H, 0] for a model that is told none.
        alpha: of the ridge, as a share of the number of rows.
        seed: of the choice of rows.
    """
    before, after = latents[:, :-1].flatten(0, 1), latents[:, 1:].flatten(0, 1)
    x = torch.cat([before, action.flatten(0, 1)], 1)
    y = after - before
    if len(x) > MAX_ROWS:
        chosen: ndarray = np.random.default_rng(seed).permutation(len(x))[:MAX_ROWS]
        x, y = x[chosen], y[chosen]
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 1e-8, std, 1.0)
    rows, bias = (x - mean) / std, y.mean(0)
    gram = rows.T @ rows + alpha * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype)
    return LinearModel(mean, std, torch.linalg.solve(gram, rows.T @ (y - bias)), bias)
