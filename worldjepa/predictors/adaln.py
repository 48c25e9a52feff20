"""Transformer blocks told a condition by adaptive layer norm (AdaLN-zero, arXiv 2212.09748), with a key-value cache.

Letters: R heads, K head width, P tokens that were processed before.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

KeysValues = tuple[Float[Tensor, "b r _ k"], Float[Tensor, "b r _ k"]]


class CachedAttention(nn.Module):
    """Self-attention whose keys and values of earlier tokens are kept by the caller; layer norm first, as in LeWM."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, *, dropout: float = 0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim, bias=False)
        self.out = nn.Sequential(nn.Linear(num_heads * head_dim, dim), nn.Dropout(dropout))

    def forward(
        self, x: Float[Tensor, "b s d"], past: KeysValues | None, mask: Bool[Tensor, "s s"] | None
    ) -> tuple[Float[Tensor, "b s d"], KeysValues]:
        """Attend to ``past`` (all of it) and among ``x`` where ``mask`` is True; returns keys and values of both."""
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


def feed_forward(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    """Layer norm, linear, GELU, dropout, linear, dropout, as in LeWM and DINO-WM."""
    wide, narrow = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
    return nn.Sequential(nn.LayerNorm(dim), wide, nn.GELU(), nn.Dropout(dropout), narrow, nn.Dropout(dropout))


class ConditionalBlock(nn.Module):
    """Attention and feed-forward net, each shifted, scaled and gated by the condition; starts as the identity.

    The block of LeWorldModel (arXiv 2603.19312): a norm without weights, modulation, then the branch with its own norm.

    Args:
        dim: width D of tokens and condition. num_heads, head_dim: of the attention, of any product.
        ffn_dim: hidden width of the feed-forward net. dropout: of attention weights and both branches.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int, ffn_dim: int, *, dropout: float = 0.0):
        super().__init__()
        self.attention = CachedAttention(dim, num_heads, head_dim, dropout=dropout)
        self.ffn = feed_forward(dim, ffn_dim, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        last = self.modulation[1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def modulate(self, condition: Float[Tensor, "*n d"]) -> Float[Tensor, "*n six d"]:
        """Shift, scale and gate of the attention, then of the feed-forward net."""
        return self.modulation(condition).unflatten(-1, (6, -1))

    def forward(
        self,
        x: Float[Tensor, "b t n d"],
        modulation: Float[Tensor, "b t six d"],
        past: KeysValues | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Float[Tensor, "b t n d"], KeysValues]:
        """All N tokens of a frame share the modulation of that frame (`modulate` of its condition)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation[:, :, None].unbind(-2)
        norm_a, norm_f = self.norms
        y = torch.addcmul(shift_a, norm_a(x), 1.0 + scale_a)
        y, kept = self.attention(y.flatten(1, 2), past, mask)
        x = torch.addcmul(x, gate_a, y.view_as(x))
        y = torch.addcmul(shift_f, norm_f(x), 1.0 + scale_f)
        return torch.addcmul(x, gate_f, self.ffn(y)), kept
