"""A small convolutional trunk for small images, cheap enough to train on a CPU."""

from jaxtyping import Float
from torch import Tensor, nn


class ConvTrunk(nn.Module):
    """Patches of 4 pixels, then 3x3 convolutions of stride 2 that double the channels until the map is 4 x 4 or so.

    Without norm a latent depends on its own frame alone, in training too, and three or four layers train so. ``norm``
    is for targets that nothing but batch statistics keeps from collapsing (BYOL, seq-JEPA).

    Args:
        shape: (rows, columns, channels) of the images; sides must be multiples of 16.
        width: channels after the first layer.
        pool: return the mean of the map, a vector [B, channels], instead of the map.
        norm: batch norm behind every convolution, and one without weights behind the mean where it is returned.

    Raises:
        ValueError: sides that do not fit.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int = 32, pool: bool = False, norm: bool = False):
        super().__init__()
        rows, columns, channels = shape
        if rows % 16 or columns % 16:
            raise ValueError(f"this trunk needs images with sides that are multiples of 16, got {rows} x {columns}")
        layers = _layer(channels, width, 4, 4, 0, norm)
        side = min(rows, columns) // 4
        while side > 4 and side % 2 == 0:
            layers += _layer(width, 2 * width, 3, 2, 1, norm)
            width, side = 2 * width, side // 2
        self.layers = nn.Sequential(*layers)
        self.channels, self.pool = width, pool
        self.norm = nn.BatchNorm1d(width, affine=False) if norm and pool else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Images in [0, 1] to a feature map [B, channels, h', w'], or its mean [B, channels]."""
        found = self.layers(x)
        return self.norm(found.mean((-2, -1))) if self.pool else found


def _layer(channels_in: int, channels: int, kernel: int, stride: int, padding: int, norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=not norm)]
    return [*layers, nn.BatchNorm2d(channels), nn.ReLU()] if norm else [*layers, nn.ReLU()]
