"""A vision transformer trunk (arXiv 2010.11929), for images of any size that divides by the patch."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.blocks import EncoderBlock, sincos_2d


class ViT(nn.Module):
    """Patches, 2-D sine-cosine positions, pre-norm blocks; returns the grid as a feature map.

    Args:
        shape: (rows, columns, channels) of the images.
        patch: side of a patch in pixels; must divide rows and columns.
        channels: width of the transformer.
        num_layers, num_heads, dropout: of the blocks; the feed-forward width is 4 x ``channels``.

    Raises:
        ValueError: ``patch`` does not divide the image.
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
    ):
        super().__init__()
        rows, columns = shape[:2]
        if rows % patch or columns % patch:
            raise ValueError(f"patches of {patch} pixels do not tile an image of {rows} x {columns}")
        self.channels = channels
        self.grid = (rows // patch, columns // patch)
        self.embed = nn.Conv2d(shape[2], channels, patch, patch)
        self.register_buffer("position", sincos_2d(*self.grid, channels), persistent=False)
        self.blocks = nn.ModuleList(
            EncoderBlock(channels, num_heads, 4 * channels, dropout=dropout, norm=norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d r s"]:
        """Images in [0, 1] to [B, channels, rows / patch, columns / patch]."""
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, self.grid)
