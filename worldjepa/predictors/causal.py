"""Next latents from past ones and the actions between them: a causal transformer told each action by AdaLN.

The predictor of LeWorldModel (arXiv 2603.19312) for one token a frame; with more tokens, attention is full within a
frame and causal between frames, as in DINO-WM (arXiv 2411.04983).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.blocks import projector as make_projector
from worldjepa.predictors.adaln import ConditionalBlock, KeysValues
from worldjepa.predictors.frames import FramePredictor


class CausalPredictor(FramePredictor):
    """Predicts the latents of frame t+1 from those of frames 0..t and actions 0..t, for all t in one pass.

    Args:
        dim: width D of the latents, in and out.
        action_dim: A, width of an action (block).
        context_length: most frames it can look back on, the present included; also the length of its position table.
        num_tokens: N, tokens of a frame.
        width: of the transformer, default ``dim``.
        num_layers, num_heads, head_dim, ffn_dim, dropout: of its blocks.
        smoothed_dim: width of the linear map that the embedding of actions begins with, default ``action_dim``.
        projector: hidden width of a perceptron with batch norm behind the transformer (LeWM), or None.
        residual: predict the change of the latent instead of the latent.
        sliding: let rollouts go beyond ``context_length`` by looking at the last frames only, recomputed with positions
            counted anew, as released LeWM does; else such rollouts raise.

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
        width: int | None = None,
        num_layers: int = 6,
        num_heads: int = 16,
        head_dim: int = 64,
        ffn_dim: int = 2048,
        dropout: float = 0.0,
        smoothed_dim: int | None = None,
        projector: int | None = None,
        residual: bool = False,
        sliding: bool = False,
    ):
        super().__init__()
        if min(dim, action_dim, context_length, num_tokens, num_layers) < 1:
            raise ValueError(
                f"expected sizes of at least 1, got dim {dim}, action_dim {action_dim}, context_length "
                f"{context_length}, num_tokens {num_tokens}, num_layers {num_layers}"
            )
        width = width or dim
        self.dim, self.action_dim, self.num_tokens = dim, action_dim, num_tokens
        self.context_length, self.sliding, self.residual = context_length, sliding, residual
        self.position = nn.Parameter(torch.randn(context_length, num_tokens, dim))
        smooth = smoothed_dim or action_dim
        self.action = nn.Sequential(
            nn.Linear(action_dim, smooth), nn.Linear(smooth, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim)
        )
        same = width == dim
        self.project = nn.Identity() if same else nn.Linear(dim, width)
        self.condition = nn.Identity() if same else nn.Linear(dim, width)
        self.blocks = nn.ModuleList(
            ConditionalBlock(width, num_heads, head_dim, ffn_dim, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Identity() if same else nn.Linear(width, dim)
        self.projector = make_projector(dim, projector, dim) if projector else nn.Identity()

    def fast_rollout(self) -> Callable[[Tensor, Tensor], Tensor]:
        """`rollout` for many calls without gradients on a processor; see `worldjepa.predictors.fast.FastRollout`."""
        from worldjepa.predictors.fast import FastRollout

        return FastRollout(self)

    def _tell(self, action: Float[Tensor, "b t a"]) -> list[Float[Tensor, "b t six d"]]:
        """What the actions do to each block: computed for all steps at once."""
        condition = self.condition(self.action(action))
        return [block.modulate(condition) for block in self.blocks]  # pyright: ignore[reportCallIssue]

    def _run(
        self, z: Tensor, told: list[Tensor], first: int, caches: list[KeysValues | None], mask: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """Frames ``first``, first + 1, ... through the blocks; ``caches`` hold what was before them."""
        x = self.project(z + self.position[first : first + z.shape[1]])
        kept = []
        for block, modulation, cache in zip(self.blocks, told, caches):
            x, keys_values = block(x, modulation, cache, mask)
            kept.append(keys_values)
        x = self.projector(self.out(self.norm(x)))
        return (z + x if self.residual else x), kept
