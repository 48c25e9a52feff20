"""Transformer blocks and position tables, shared by encoders, predictors and heads.

Letters: B batch, S tokens of a sequence, M tokens of the memory, D width, R heads.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Norm = Literal["pre", "post"]


def sincos(position: Tensor, dim: int, max_period: float = 10000.0) -> Float[Tensor, "... d"]:
    """Sine-cosine code of scalar positions (any sign): [...] -> [..., dim], sines first. ``dim`` must be even."""
    if dim % 2:
        raise ValueError(f"a sine-cosine code needs an even width, got {dim}")
    half = dim // 2
    frequency = torch.exp(-math.log(max_period) * torch.arange(half, device=position.device) / half)
    angle = position.to(frequency.dtype)[..., None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def sincos_2d(rows: int, columns: int, dim: int) -> Float[Tensor, "n d"]:
    """Code of a grid, row-major: half the width for the row, half for the column. ``dim`` must divide by 4."""
    if dim % 4:
        raise ValueError(f"a 2-D sine-cosine code needs a width divisible by 4, got {dim}")
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.cat([sincos(y.flatten(), dim // 2), sincos(x.flatten(), dim // 2)], dim=-1)


class Attention(nn.Module):
    """Multi-head attention, self or cross.

    Args:
        dim: width D. num_heads: R, must divide D. dropout: of the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, *, dropout: float = 0.0):
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"width {dim} does not divide by {num_heads} heads")
        self.num_heads = num_heads
        self.dropout = dropout
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b s d"],
        memory: Float[Tensor, "b m d"],
        mask: Bool[Tensor, "*b_or_1 1 s_or_1 m"] | None = None,
    ) -> Float[Tensor, "b s d"]:
        """Attend from ``x`` to ``memory``; ``mask`` is True where attending is allowed."""
        q = self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(memory).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Linear, activation, dropout, linear."""

    def __init__(self, dim: int, hidden: int, *, dropout: float = 0.0, activation: type[nn.Module] = nn.GELU):
        super().__init__(nn.Linear(dim, hidden), activation(), nn.Dropout(dropout), nn.Linear(hidden, dim))


class EncoderBlock(nn.Module):
    """Self-attention and a feed-forward net, each with a residual; norms before ("pre") or after ("post") them."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_dim: int,
        *,
        dropout: float = 0.0,
        norm: Norm = "pre",
        activation: type[nn.Module] = nn.GELU,
    ):
        super().__init__()
        self.pre = _check_norm(norm) == "pre"
        self.attention = Attention(dim, num_heads, dropout=dropout)
        self.ffn = FeedForward(dim, ffn_dim, dropout=dropout, activation=activation)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b s d"], mask: Tensor | None = None, first: int | None = None
    ) -> Float[Tensor, "b k d"]:
        """``mask``: True where attending is allowed, broadcastable to [B, 1, S, S].

        ``first``: compute only so many tokens from the first on; they attend to all. ``mask`` is then [.., first, S].
        """
        norm_a, norm_f = self.norms
        if self.pre:
            y = norm_a(x)
            x = x[:, :first] + self.drop(self.attention(y[:, :first], y, mask))
            return x + self.drop(self.ffn(norm_f(x)))
        x = norm_a(x[:, :first] + self.drop(self.attention(x[:, :first], x, mask)))
        return norm_f(x + self.drop(self.ffn(x)))


class DecoderBlock(nn.Module):
    """Self-attention among queries, attention to a memory, a feed-forward net."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, *, dropout: float = 0.0, norm: Norm = "pre"):
        super().__init__()
        self.pre = _check_norm(norm) == "pre"
        self.attention = Attention(dim, num_heads, dropout=dropout)
        self.cross = Attention(dim, num_heads, dropout=dropout)
        self.ffn = FeedForward(dim, ffn_dim, dropout=dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b s d"], memory: Float[Tensor, "b m d"], mask: Tensor | None = None
    ) -> Float[Tensor, "b s d"]:
        """``mask`` restricts the self-attention: True where allowed, broadcastable to [B, 1, S, S]."""
        norm_a, norm_c, norm_f = self.norms
        if self.pre:
            y = norm_a(x)
            x = x + self.drop(self.attention(y, y, mask))
            x = x + self.drop(self.cross(norm_c(x), memory))
            return x + self.drop(self.ffn(norm_f(x)))
        x = norm_a(x + self.drop(self.attention(x, x, mask)))
        x = norm_c(x + self.drop(self.cross(x, memory)))
        return norm_f(x + self.drop(self.ffn(x)))


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm of features over all tokens of all frames: [..., D] -> [..., D]."""

    def forward(self, input: Tensor) -> Tensor:
        """Statistics over all axes but the last."""
        return super().forward(input.flatten(0, -2)).view_as(input)


def projector(dim_in: int, hidden: int, dim: int) -> nn.Sequential:
    """A perceptron with batch norm, as LeWorldModel has behind its encoder and its predictor (arXiv 2603.19312)."""
    return nn.Sequential(nn.Linear(dim_in, hidden), TokenBatchNorm(hidden), nn.GELU(), nn.Linear(hidden, dim))


def _check_norm(norm: str) -> str:
    if norm not in ("pre", "post"):
        raise ValueError(f'norm must be "pre" or "post", got {norm!r}')
    return norm
