"""A vision transformer trunk (arXiv 2010.11929), for images of any size that divides by the patch."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.blocks import EncoderBlock, sincos_2d


class ViT(nn.Module):
    """Patches, positions, pre-norm blocks; returns the grid as a feature map, or the class token.

    Args:
        shape: (rows, columns, channels) of the images.
        patch: side of a patch in pixels; must divide rows and columns.
        channels: width of the transformer.
        num_layers, num_heads, dropout: of the blocks; the feed-forward width is 4 x ``channels``.
        readout: "map", with sine-cosine positions; or "class": a class token, learned positions and weights that start
            as truncated normals of std 0.02, as in LeWorldModel's encoder, a ViT-tiny of Hugging Face.
        eps: of the layer norms; Hugging Face's is 1e-12.

    Raises:
        ValueError: ``patch`` does not divide the image, or ``readout`` is unknown.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        patch: int = 16,
        channels: int = 192,
        num_layers: int = 6,
        num_heads: int = 3,
        dropout: float = 0.0,
        norm: Literal["pre", "post"] = "pre",
        readout: Literal["map", "class"] = "map",
        eps: float = 1e-5,
    ):
        super().__init__()
        if readout not in ("map", "class"):
            raise ValueError(f'readout must be "map" or "class", got {readout!r}')
        rows, columns = shape[:2]
        if rows % patch or columns % patch:
            raise ValueError(f"patches of {patch} pixels do not tile an image of {rows} x {columns}")
        self.channels = channels
        self.grid = (rows // patch, columns // patch)
        self.embed = nn.Conv2d(shape[2], channels, patch, patch)
        self.token: nn.Parameter | None = None
        if readout == "class":
            self.token = nn.Parameter(torch.empty(channels))
            self.position = nn.Parameter(torch.empty(1 + self.grid[0] * self.grid[1], channels))
        else:
            self.register_buffer("position", sincos_2d(*self.grid, channels), persistent=False)
        self.blocks = nn.ModuleList(
            EncoderBlock(channels, num_heads, 4 * channels, dropout=dropout, norm=norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = eps
        if readout == "class":
            self._start_small()

    def _start_small(self) -> None:
        """Every weight from a normal of std 0.02 cut at +-2, biases zero."""
        for name, parameter in self.named_parameters():
            if name in ("token", "position") or parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Pixels to [B, channels, rows / patch, columns / patch], or class tokens [B, channels]."""
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(tokens), 1, -1), tokens], dim=1)
        tokens = tokens + self.position
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 0] if self.token is not None else tokens.transpose(1, 2).unflatten(2, self.grid)
