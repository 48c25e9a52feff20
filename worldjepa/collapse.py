"""Signs of representation collapse, cheap enough to log during training.

A prediction loss can fall because the latents lost their content. These numbers tell: the spread of the features, on
average and of the one that varies least, and the number of directions that carry variance. Whether predicting beats
copying tells `objectives.copy_ratio`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def feature_std(rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean over features of the standard deviation over rows; 0 is complete collapse."""
    return rows.float().std(dim=0).mean()


def least_feature_std(rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Least standard deviation of a feature over rows; 0 where one is dead, which their mean hardly shows."""
    return rows.float().std(dim=0).min()


def effective_rank(rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """exp(entropy) of the normalised singular values of the centred rows, in [1, min(n, d)] (Roy and Vetterli 2007).

    Rows that are all equal have rank 0.
    """
    rows = rows.float()
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = values.sum()
    p = values / total.clamp_min(torch.finfo(values.dtype).tiny)
    entropy = -torch.special.xlogy(p, p).sum()
    return torch.where(total > 1e-6 * rows.abs().sum().clamp_min(1e-30), entropy.exp(), 0.0)
