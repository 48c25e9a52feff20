"""Contrastive losses: a prediction must be nearer to its own target than to those of others.

InfoNCE (arXiv 1807.03748) in its general form, and NT-Xent, SimCLR's symmetric case of it (arXiv 2002.05709, eq. 1).

Letters: Q queries, C candidates, P pairs, D width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.reduce import blank, gather_rows, widen
from worldjepa.types import Prediction


def info_nce(
    queries: Float[Tensor, "q d"],
    candidates: Float[Tensor, "c d"],
    positive: Int[Tensor, "q"],
    *,
    temperature: float = 1.0,
    allowed: Bool[Tensor, "q c"] | None = None,
) -> Float[Tensor, "q"]:
    """Cross entropy of each query's own candidate among all that are allowed, by inner products.

    Args:
        queries: what is looked up, as scaled as it shall be: normalise both sides for cosines.
        candidates: what is compared with; gradients flow to both.
        positive: each query's own candidate, in 0..C-1; it is always allowed.
        temperature: > 0; inner products are divided by it.
        allowed: False leaves a candidate out of a query's comparison (itself, a duplicate, padding). None: all count.

    Returns:
        A loss for each query, float32 or wider; 0 where its own candidate is the only one.
    """
    queries, candidates = widen(queries), widen(candidates)
    with torch.autocast(queries.device.type, enabled=False):  # a small temperature magnifies the error of bfloat16
        logits = queries @ candidates.T / temperature
    if allowed is not None:
        own = F.one_hot(positive, len(candidates)).bool()
        logits = logits.masked_fill(~(allowed | own), -torch.inf)
    return F.cross_entropy(logits, positive, reduction="none")


def without_duplicates(identity: Int[Tensor, "c"], positive: Int[Tensor, "q"]) -> Bool[Tensor, "q c"]:
    """Which candidates a query may be compared with when some are the same thing: all that are not its own again.

    Args:
        identity: what each candidate is; equal numbers are the same.
        positive: each query's own candidate, in 0..C-1; it stays allowed.
    """
    own = F.one_hot(positive, len(identity)).bool()
    return own | (identity != identity[positive][:, None])


def nt_xent(
    first: Float[Tensor, "p d"],
    second: Float[Tensor, "p d"],
    keep: Bool[Tensor, "p"] | None = None,
    *,
    temperature: float = 0.5,
) -> Float[Tensor, ""]:
    """NT-Xent: each of the 2P vectors must find its partner among the 2P - 1 others, by cosine.

    The pairs are those of all processes, each of which brings equally many; the value is the same on all of them.

    Args:
        first, second: partners, in the same order; gradients flow to both.
        keep: False leaves a pair out, as a query and as a candidate.
        temperature: > 0; cosines are divided by it.

    Returns:
        The mean over both directions and all kept pairs; 0 without any. Between 0 and, where all vectors are the same,
        log(2P - 1).
    """
    pairs = torch.stack([widen(first), widen(second)], dim=1)
    keep = torch.ones_like(pairs[:, 0, 0], dtype=torch.bool) if keep is None else keep
    pairs = F.normalize(blank(pairs, keep[:, None].expand(-1, 2)), dim=-1)
    rows = gather_rows(pairs).flatten(0, 1)  # partners are neighbours
    keep = gather_rows(keep.to(rows.dtype)).bool().repeat_interleave(2)
    index = torch.arange(len(rows), device=rows.device)
    allowed = keep[None] & (index != index[:, None])
    loss = info_nce(rows, rows, index ^ 1, temperature=temperature, allowed=allowed)
    return torch.where(keep, loss, 0.0).sum() / keep.sum().clamp_min(1)


class NTXent(nn.Module):
    """`nt_xent` between predicted and target latents, as vectors, over all processes.

    Args:
        temperature: > 0 (SimCLR in the comparison of seq-JEPA: 0.5; EquiMod: 0.1).
        name: prefix of the scalar's name.

    Raises:
        ValueError: a temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.5, *, name: str = ""):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"nt_xent": scalar}, the same on all processes. ``batch`` is not read.

        Raises:
            ValueError: the model has no predictor and target.
        """
        if prediction.predicted is None or prediction.target is None:
            raise ValueError("NTXent needs a model with a predictor and a target; this one has none")
        first, second = prediction.predicted.flatten(0, 2), prediction.target.flatten(0, 2)
        keep = None if prediction.weight is None else prediction.weight.flatten() > 0
        return prefixed(self.name, {"nt_xent": nt_xent(first, second, keep, temperature=self.temperature)})
