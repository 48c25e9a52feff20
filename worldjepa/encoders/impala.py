"""The residual trunk of IMPALA (arXiv 1802.01561) as EB-JEPA has it for two rooms (arXiv 2602.03604)."""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ImpalaTrunk(nn.Module):
    """Three stages of a 3x3 convolution, a max pool of stride 2 and two residual blocks; no norm.

    A stage halves the sides, rounding up: any size will do. Unlike IMPALA's own blocks, those of EB-JEPA end with the
    activation, after the sum, so the map is never negative. With 65 x 65 images and a width of 16 the maps are
    [16, 33, 33], [32, 17, 17] and [32, 9, 9].

    Args:
        in_channels: of the image.
        width: channels of the first stage; the two others have twice as many.
        flat: return the map as one vector, channels first, as EB-JEPA's linear layer reads it.
    """

    def __init__(self, in_channels: int = 3, *, width: int = 16, flat: bool = False):
        super().__init__()
        widths = [in_channels, width, 2 * width, 2 * width]
        self.stages = nn.Sequential(*(_stage(i, o) for i, o in pairwise(widths)))
        self.channels, self.flat = 2 * width, flat

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Images to a feature map [B, channels, h', w'], or to vectors [B, channels * h' * w']."""
        found = self.stages(x)
        return found.flatten(1) if self.flat else found


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


def _stage(channels_in: int, channels: int) -> nn.Sequential:
    """[B, C, h, w] -> [B, channels, (h + 1) // 2, (w + 1) // 2]."""
    blocks = (_Block(channels) for _ in range(2))
    return nn.Sequential(nn.Conv2d(channels_in, channels, 3, padding=1), nn.MaxPool2d(3, 2, 1), *blocks)
