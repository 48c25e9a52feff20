"""Variance and covariance penalties against collapse (VICReg, arXiv 2105.04906; PLDM, arXiv 2502.14819).

Moments are sums over processes divided by global counts: processes may hold different numbers of valid rows.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.reduce import global_sum, masked_mean, num_processes, sum_over_processes, widen
from worldjepa.objectives.rows import Grouping, Source, Tokens, check_choice, grouped, latents_of
from worldjepa.types import Prediction

Part = Literal["variance", "covariance"]


def _centred(
    rows: Float[Tensor, "*g n d"], keep: Bool[Tensor, "*g n"] | None, shared: bool
) -> tuple[Float[Tensor, "*g n d"], Float[Tensor, "*g"]]:
    """Rows less their mean, zero where they are excluded, and the number of rows less one, at least one."""
    rows = widen(rows)
    keep = torch.ones_like(rows[..., 0], dtype=torch.bool) if keep is None else keep
    kept = keep[..., None].to(rows.dtype)
    # Centred rows sum to zero, so no second moment has a gradient with respect to the mean: it may be detached.
    total, count = (rows * kept).sum(-2).detach(), kept.sum((-2, -1))
    if shared:
        total, count = global_sum(total), global_sum(count)
    mean = total / count.clamp_min(1.0)[..., None]
    return (rows - mean[..., None, :]) * kept, (count - 1.0).clamp_min(1.0)


def variance_hinge(
    rows: Float[Tensor, "*g n d"],
    keep: Bool[Tensor, "*g n"] | None = None,
    *,
    threshold: float = 1.0,
    eps: float = 1e-4,
    shared: bool = False,
) -> Float[Tensor, "*g"]:
    """Mean over features of ``max(0, threshold - std)``; zero when every feature spreads enough (VICReg eq. 1).

    Args:
        rows: groups of N finite vectors.
        keep: False excludes a vector.
        threshold: in the units of the latents.
        eps: added to the variance, so that the gradient of its root stays finite.
        shared: each process holds a part of the rows, and the moments are those of all of them.
    """
    centred, degrees = _centred(rows, keep, shared)
    squares = centred.square().sum(-2)
    squares = sum_over_processes(squares) if shared else squares
    return F.relu(threshold - torch.sqrt(squares / degrees[..., None] + eps)).mean(-1)


def covariance_penalty(
    rows: Float[Tensor, "*g n d"],
    keep: Bool[Tensor, "*g n"] | None = None,
    *,
    per: Literal["feature", "pair"] = "feature",
    shared: bool = False,
) -> Float[Tensor, "*g"]:
    """Squared off-diagonal covariances; zero when features are uncorrelated (VICReg eq. 3 and 4).

    Args:
        rows, keep, shared: as of `variance_hinge`.
        per: "feature": their sum over D (VICReg); "pair": their mean, over D * (D - 1) (PLDM).
    """
    centred, degrees = _centred(rows, keep, shared)
    with torch.autocast(rows.device.type, enabled=False):  # it would multiply in bfloat16
        products = centred.mT @ centred
    products = sum_over_processes(products) if shared else products
    covariance = products / degrees[..., None, None]
    off_diagonal = covariance - torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
    dim = rows.shape[-1]
    return off_diagonal.square().sum((-2, -1)) / (dim if per == "feature" else max(dim * (dim - 1), 1))


class VarianceCovariance(nn.Module):
    """VICReg's two penalties on latents that are not padding, over all processes.

    Defaults are VICReg's. PLDM as published has two such terms, both with ``tokens="features", per="pair"``: one with
    ``by="step", frames=(0, 1)``, one with ``by="sequence", frames=(1, None), name="time"``.

    Args:
        of: which latents: "context", "predicted" or "target".
        threshold: standard deviation below which a feature is penalised, > 0.
        by: vectors compared with each other: "all", those of a time "step" over the batch, or those of a "sequence"
            over time; the penalties are averaged over groups of at least two valid vectors.
        tokens: "rows": tokens are vectors; "features": all tokens of a frame together are one vector.
        per: as of `covariance_penalty`.
        parts: which penalties.
        frames: (start, stop) of the time steps looked at.
        name: prefix of the scalars' names.

    Raises:
        ValueError: fewer than two rows a group reach the loss, or a choice is unknown.
    """

    def __init__(
        self,
        of: Source = "context",
        threshold: float = 1.0,
        *,
        by: Grouping = "all",
        tokens: Tokens = "rows",
        per: Literal["feature", "pair"] = "feature",
        parts: tuple[Part, ...] = ("variance", "covariance"),
        frames: tuple[int, int | None] = (0, None),
        name: str = "",
    ):
        super().__init__()
        for what, value, choices in (("of", of, Source), ("by", by, Grouping), ("tokens", tokens, Tokens)):
            check_choice(what, value, choices)
        check_choice("per", per, Literal["feature", "pair"])
        for part in parts:
            check_choice("parts", part, Part)
        if not parts:
            raise ValueError('parts must name "variance", "covariance" or both')
        self.of: Source = of
        self.threshold = threshold
        self.by: Grouping = by
        self.tokens: Tokens = tokens
        self.per: Literal["feature", "pair"] = per
        self.parts = parts
        self.frames = slice(*frames)
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"variance": scalar, "covariance": scalar}, zero where no group has two valid vectors."""
        z, keep = latents_of(prediction, batch, self.of)
        groups = grouped(z[:, self.frames], keep[:, self.frames], self.by, self.tokens)
        num_rows = groups.rows.shape[1] * (num_processes() if groups.shared else 1)
        if groups.rows.shape[0] < 1 or num_rows < 2:
            raise ValueError(
                f"variance needs at least 2 latent vectors in a group, got {num_rows} of {tuple(z.shape)} latents with "
                f"by={self.by!r}, tokens={self.tokens!r}: use more windows, frames or another grouping"
            )
        count = groups.keep.sum(1)
        enough = (global_sum(count) if groups.shared else count) >= 2
        losses = {}
        if "variance" in self.parts:
            losses["variance"] = variance_hinge(
                groups.rows, groups.keep, threshold=self.threshold, shared=groups.shared
            )
        if "covariance" in self.parts:
            losses["covariance"] = covariance_penalty(groups.rows, groups.keep, per=self.per, shared=groups.shared)
        mean = _mean_of_all if groups.shared else masked_mean
        return prefixed(self.name, {key: mean(value, enough) for key, value in losses.items()})


def _mean_of_all(value: Float[Tensor, "g"], keep: Bool[Tensor, "g"]) -> Float[Tensor, ""]:
    """Mean of what every process holds alike; `masked_mean` is for what each holds a part of."""
    return torch.where(keep, value, 0.0).sum() / keep.sum().clamp_min(1)
