"""Straight trajectories of latents, along which distance to a goal is a better guide (arXiv 2603.12231)."""

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.reduce import blank, masked_mean, widen
from worldjepa.objectives.rows import Source, Tokens, check_choice, latents_of
from worldjepa.types import Prediction


class Straightening(nn.Module):
    """Mean of one minus the cosine between a latent's last and next change: 0 on a straight line, 2 at a reversal.

    The published loss is this less one. A latent that stands still has no direction, and the gradient of a direction is
    as large as the inverse of the change: changes shorter than ``min_change`` are left out.

    Args:
        of: which latents: "context", "predicted" or "target".
        tokens: "rows": each token has a trajectory of its own; "features": all tokens of a frame together have one.
        min_change: Euclidean length, > 0, in the units of the latents.
        name: prefix of the scalar's name.
    """

    def __init__(self, of: Source = "context", *, tokens: Tokens = "rows", min_change: float = 1e-3, name: str = ""):
        super().__init__()
        check_choice("of", of, Source)
        check_choice("tokens", tokens, Tokens)
        if min_change <= 0:
            raise ValueError(f"min_change must be positive, got {min_change}")
        self.of: Source = of
        self.tokens: Tokens = tokens
        self.min_change = min_change
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"straightening": scalar}.

        Raises:
            ValueError: fewer than three frames.
        """
        z, keep = latents_of(prediction, batch, self.of)
        if z.shape[1] < 3:
            raise ValueError(f"straightening needs at least 3 frames of {self.of} latents, got {z.shape[1]}")
        z = widen(blank(z, keep))
        if self.tokens == "features":
            z, keep = z.flatten(2)[:, :, None], keep.all(2, keepdim=True)
        change = z[:, 1:] - z[:, :-1]
        moves = (change.detach().norm(dim=-1) >= self.min_change) & keep[:, 1:] & keep[:, :-1]
        change = torch.where(moves[..., None], change, 1.0)  # whatever has a finite gradient; it is not counted
        bend = 1.0 - F.cosine_similarity(change[:, :-1], change[:, 1:], dim=-1)
        return prefixed(self.name, {"straightening": masked_mean(bend, moves[:, :-1] & moves[:, 1:])})
