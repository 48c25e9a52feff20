"""Next latents from past ones, each token told the action in channels of its own (DINO-WM, arXiv 2411.04983)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.predictors.adaln import CachedAttention, KeysValues, feed_forward
from worldjepa.predictors.frames import FramePredictor


class PlainBlock(nn.Module):
    """Attention and feed-forward net, each with a layer norm before it and a residual."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, ffn_dim: int, *, dropout: float = 0.0):
        super().__init__()
        self.attention = CachedAttention(dim, num_heads, head_dim, dropout=dropout)
        self.ffn = feed_forward(dim, ffn_dim, dropout)

    def forward(
        self, x: Float[Tensor, "b s d"], past: KeysValues | None = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "b s d"], KeysValues]:
        """Returns the tokens, and keys and values of ``past`` and of them."""
        y, kept = self.attention(x, past, mask)
        x = x + y
        return x + self.ffn(x), kept


class ConcatPredictor(FramePredictor):
    """A transformer over latents [N, D] beside which an embedding of the frame's action stands in every token.

    What it returns is the D channels of the latents; the action's are dropped, so that in a rollout the true next
    action takes their place. As released DINO-WM with ``concat_dim=1``.

    Args:
        dim: width D of the latents, in and out.
        action_dim: A, width of an action (block).
        context_length: most frames it can look back on, the present included; also the length of its position table.
        num_tokens: N, tokens of a frame.
        action_embed: channels of the action, a linear map of it.
        num_layers, num_heads, head_dim, ffn_dim, dropout: of its blocks, whose width is ``dim + action_embed``.
        residual: predict the change of the latent instead of the latent.
        sliding: as of `CausalPredictor`.

    Raises:
        ValueError: sizes below 1.
    """

    def __init__(
        self,
        *,
        dim: int,
        action_dim: int,
        context_length: int,
        num_tokens: int = 1,
        action_embed: int = 10,
        num_layers: int = 6,
        num_heads: int = 16,
        head_dim: int = 64,
        ffn_dim: int = 2048,
        dropout: float = 0.0,
        residual: bool = False,
        sliding: bool = False,
    ):
        super().__init__()
        if min(dim, action_dim, context_length, num_tokens, action_embed, num_layers) < 1:
            raise ValueError(
                f"expected sizes of at least 1, got dim {dim}, action_dim {action_dim}, context_length "
                f"{context_length}, num_tokens {num_tokens}, action_embed {action_embed}, num_layers {num_layers}"
            )
        width = dim + action_embed
        self.dim, self.action_dim, self.num_tokens = dim, action_dim, num_tokens
        self.context_length, self.sliding, self.residual = context_length, sliding, residual
        self.position = nn.Parameter(torch.randn(context_length, num_tokens, width))
        self.action = nn.Linear(action_dim, action_embed)
        self.blocks = nn.ModuleList(
            PlainBlock(width, num_heads, head_dim, ffn_dim, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def _tell(self, action: Float[Tensor, "b t a"]) -> list[Tensor]:
        """The actions' channels, [B, T, E]."""
        return [self.action(action)]

    def _run(
        self, z: Tensor, told: list[Tensor], first: int, caches: list[KeysValues | None], mask: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """Frames ``first``, first + 1, ... through the blocks; ``caches`` hold what was before them."""
        beside = told[0][:, :, None].expand(-1, -1, self.num_tokens, -1)
        x = torch.cat([z, beside], dim=-1) + self.position[first : first + z.shape[1]]
        x, kept = x.flatten(1, 2), []
        for block, cache in zip(self.blocks, caches):
            x, keys_values = block(x, cache, mask)
            kept.append(keys_values)
        x = self.norm(x)[..., : self.dim].unflatten(1, (-1, self.num_tokens))
        return (z + x if self.residual else x), kept
