"""Heads of methods that compare two views of one thing: projectors, and predictors of one projection from the other.

Letters: B batch, T views, N tokens (1), C width of a latent, I / E invariant and equivariant width of a projection,
A action size. Batch norm counts all views and tokens that it is given at once as rows.
"""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

End = Literal["norm", "linear", "affine"]


class Head(nn.Module):
    """Linear layers with batch norm and ReLU between them: [B, T, N, dim_in] -> [B, T, N, widths[-1]].

    A bias before a batch norm is no part of the function, so hidden layers have none.

    Args:
        dim_in: width of what comes in.
        widths: of the layers' outputs, at least one.
        end: the last layer: "norm" has a batch norm without weights behind it (SimCLR, EquiMod, projectors of BYOL),
            "linear" has no bias (VICReg, SIE), "affine" has one (predictors of BYOL).

    Raises:
        ValueError: no layers, widths below 1, an unknown ``end``.
    """

    def __init__(self, dim_in: int, widths: tuple[int, ...], *, end: End = "norm"):
        super().__init__()
        if not widths or min(dim_in, *widths) < 1:
            raise ValueError(f"a head needs layers with widths of at least 1, got {dim_in} and {widths}")
        if end not in ("norm", "linear", "affine"):
            raise ValueError(f'end must be "norm", "linear" or "affine", got {end!r}')
        *hidden, self.dim = widths
        layers: list[nn.Module] = []
        for i, o in pairwise([dim_in, *hidden]):
            layers += [nn.Linear(i, o, bias=False), nn.BatchNorm1d(o), nn.ReLU()]
        layers.append(nn.Linear([dim_in, *hidden][-1], self.dim, bias=end == "affine"))
        if end == "norm":
            layers.append(nn.BatchNorm1d(self.dim, affine=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Float[Tensor, "b t n c"]) -> Float[Tensor, "b t n d"]:
        """Every token for itself, but for the batch norm in training."""
        return self.layers(z.flatten(0, 2)).unflatten(0, z.shape[:3])


class SplitHead(nn.Module):
    """An invariant and an equivariant projection, side by side: [B, T, N, C] -> [B, T, N, I + E].

    Args:
        invariant, equivariant: the two heads.
        split: the first reads so many features and the second the rest (SIE); None: both read all (EquiMod).
    """

    def __init__(self, invariant: Head, equivariant: Head, split: int | None = None):
        super().__init__()
        self.invariant, self.equivariant, self.split = invariant, equivariant, split
        self.dim = invariant.dim + equivariant.dim

    def forward(self, z: Float[Tensor, "b t n c"]) -> Float[Tensor, "b t n d"]:
        """Invariant features first."""
        first, second = (z, z) if self.split is None else (z[..., : self.split], z[..., self.split :])
        return torch.cat([self.invariant(first), self.equivariant(second)], dim=-1)


class Conditioned(nn.Module):
    """Projections moved by an action: a head on each and an embedding of the action beside it.

    Args:
        dim: E, width of the projections.
        action_dim: A.
        action_embed: width of the action's embedding, linear and batch norm without weights.
        hidden: widths of the head's hidden layers.
        end: of the head.
    """

    def __init__(self, dim: int, action_dim: int, *, action_embed: int, hidden: tuple[int, ...] = (), end: End):
        super().__init__()
        self.embed = Head(action_dim, (action_embed,))
        self.head = Head(action_embed + dim, (*hidden, dim), end=end)

    def forward(self, y: Float[Tensor, "b t n e"], action: Float[Tensor, "b t n a"]) -> Float[Tensor, "b t n e"]:
        """The projections after the action."""
        return self.head(torch.cat([self.embed(action), y], dim=-1))


class Hypernetwork(nn.Module):
    """Projections moved by a matrix that is linear in the action, ``W(a) = sum_k a_k G_k`` (SIE, arXiv 2302.10283).

    Each G_k is applied to the projections and the results are mixed by the action: the same function as making W(a)
    for every sample, without its E x E numbers for each of them.

    Args:
        dim: E, width of the projections.
        action_dim: A.
    """

    def __init__(self, dim: int, action_dim: int):
        super().__init__()
        bound = action_dim**-0.5  # as the linear layer from the action to W's entries is initialised
        self.generators = nn.Parameter(torch.empty(action_dim, dim, dim).uniform_(-bound, bound))

    def forward(self, y: Float[Tensor, "b t n e"], action: Float[Tensor, "b t n a"]) -> Float[Tensor, "b t n e"]:
        """W(action) times the projections."""
        moved = nn.functional.linear(y, self.generators.flatten(0, 1)).unflatten(-1, self.generators.shape[:2])
        return (action[..., None] * moved).sum(-2)


class FirstProjection(nn.Module):
    """Predicts that the projection does not change: the first view's stands for the second's (SimCLR, VICReg).

    Args:
        projector: of the target, kept by reference.
    """

    context_length = 1

    def __init__(self, projector: nn.Module):
        super().__init__()
        self._projector = (projector,)

    def forward(self, z: Float[Tensor, "b tc n c"], query: TensorDict) -> Float[Tensor, "b 1 n d"]:
        """Projections of ``z[:, :1]``. The query is not read."""
        return self._projector[0](z[:, :1])


class EquivariantPredictor(nn.Module):
    """Predicts the second view's projections from the first's: the invariant part stays, the action moves the other.

    Args:
        projector: of the target, kept by reference.
        transform: `Conditioned` (EquiMod) or `Hypernetwork` (SIE).
    """

    context_length = 1

    def __init__(self, projector: SplitHead, transform: Conditioned | Hypernetwork):
        super().__init__()
        self._projector = (projector,)
        self.transform = transform
        self.equivariant = slice(projector.invariant.dim, projector.dim)
        """Features of the prediction that the action moves."""

    def forward(self, z: Float[Tensor, "b tc n c"], query: TensorDict) -> Float[Tensor, "b 1 n d"]:
        """From ``z[:, :1]`` and ``query["action"]`` [B, 1, A]."""
        y = self._projector[0](z[:, :1])
        start = self.equivariant.start
        moved = self.transform(y[..., start:], _per_token(query, y))
        return torch.cat([y[..., :start], moved], dim=-1)


class CrossPredictor(nn.Module):
    """BYOL's head: predicts the moving average's projection of each view from the other view's own projection.

    Args:
        projector: of the online branch; its moving average is the target's.
        head: from projection to projection.
    """

    context_length = 2

    def __init__(self, projector: Head, head: Head):
        super().__init__()
        self.projector, self.head = projector, head

    def forward(self, z: Float[Tensor, "b tc n c"], query: TensorDict) -> Float[Tensor, "b tc n d"]:
        """Of views in their order, each from the other one. The query is not read."""
        return self.head(self.projector(z)).flip(1)


class ConditionalPredictor(nn.Module):
    """Conditional BYOL's head: the second view's projection, from the first's and the action.

    Args:
        projector: of the online branch; its moving average is the target's.
        transform: from a projection and an action to a projection.
    """

    context_length = 1

    def __init__(self, projector: Head, transform: Conditioned):
        super().__init__()
        self.projector, self.transform = projector, transform

    def forward(self, z: Float[Tensor, "b tc n c"], query: TensorDict) -> Float[Tensor, "b 1 n d"]:
        """From ``z[:, :1]`` and ``query["action"]`` [B, 1, A]."""
        y = self.projector(z[:, :1])
        return self.transform(y, _per_token(query, y))


def _per_token(query: TensorDict, y: Float[Tensor, "b 1 n d"]) -> Float[Tensor, "b 1 n a"]:
    """The action beside every token of the first view.

    Raises:
        ValueError: not one action for each sample.
    """
    action = query["action"]
    if action.shape[:2] != y.shape[:2]:
        raise ValueError(f"expected one action for each of {len(y)} pairs, got actions {tuple(action.shape)}")
    return action[:, :, None].expand(-1, -1, y.shape[2], -1)
