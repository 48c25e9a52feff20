"""Residual networks for images, after ResNet-18 (arXiv 1512.03385)."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.blocks import sincos_2d


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Channels and size change as the stride says."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A ResNet trunk: stem and four stages; depth (2, 2, 2, 2) at width 64 is ResNet-18 (11.18 M parameters).

    Args:
        depths: residual blocks of each stage.
        width: channels of the first stage; they double at each following one.
        stem: "standard" (7x7 stride 2, max pool; total stride 32) or "small" (3x3 stride 1, no pool; total stride 8).
        in_channels: of the image.
        pool: return the mean of the map, a vector [B, channels], instead of the map.
        identity: start as published ResNets do: convolutions from normals scaled by their outputs, and the last norm
            of every block at zero, so that a block is the identity at first (torchvision's ``zero_init_residual``).
    """

    def __init__(
        self,
        *,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        width: int = 64,
        stem: Literal["standard", "small"] = "standard",
        in_channels: int = 3,
        pool: bool = False,
        identity: bool = False,
    ):
        super().__init__()
        if stem not in ("standard", "small"):
            raise ValueError(f'stem must be "standard" or "small", got {stem!r}')
        if stem == "standard":
            layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        else:
            layers = [nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.stem = nn.Sequential(*layers)
        self.stride = 4 if stem == "standard" else 1
        stages: list[nn.Module] = []
        channels = width
        for stage, depth in enumerate(depths):
            out = width * 2**stage
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(ResidualBlock(channels, out, stride))
                channels = out
        self.stages = nn.Sequential(*stages)
        self.stride *= 2 ** (len(depths) - 1)
        self.channels, self.pool = channels, pool
        if identity:
            self._start_as_identity()

    def _start_as_identity(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, ResidualBlock):
                nn.init.zeros_(module.norm2.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Images in [0, 1] to the feature map of the last stage [B, channels, h', w'], or its mean [B, channels]."""
        found = self.stages(self.stem(x))
        return found.mean((-2, -1)) if self.pool else found


class ImageEncoder(nn.Module):
    """A camera's frames as a grid of tokens: trunk, 1x1 projection, 2-D sine-cosine positions (ACT, DETR).

    Args:
        trunk: [B, C, H, W] in [0, 1] -> [B, channels, h, w], with attribute ``channels``.
        shape: (rows, columns, channels) of the images.
        dim: width D.
        pool: one token (mean over the grid) instead of the grid.

    Raises:
        ValueError: images of another shape or type arrive.
    """

    def __init__(self, trunk: nn.Module, shape: tuple[int, ...], dim: int, *, pool: bool = False):
        super().__init__()
        self.trunk, self.shape, self.dim, self.pool = trunk, tuple(shape), dim, pool
        self.project = nn.Conv2d(int(trunk.channels), dim, 1)  # pyright: ignore[reportArgumentType]
        was_training = trunk.training
        with torch.no_grad():
            rows, columns = trunk.eval()(torch.zeros(1, shape[2], shape[0], shape[1])).shape[-2:]
        trunk.train(was_training)
        self.num_tokens = 1 if pool else rows * columns
        self.register_buffer("position", sincos_2d(rows, columns, dim), persistent=False)

    def forward(self, image: Tensor) -> Float[Tensor, "b t n d"]:
        """uint8 frames [B, T, rows, columns, channels] to tokens."""
        if image.dtype != torch.uint8 or tuple(image.shape[2:]) != self.shape:
            got = f"{image.dtype} {tuple(image.shape[2:])}"
            raise ValueError(f"expected uint8 images of shape {self.shape} (rows, columns, channels), got {got}")
        b, t = image.shape[:2]
        pixels = image.flatten(0, 1).permute(0, 3, 1, 2).to(self.project.weight.dtype).div(255.0)
        features = self.project(self.trunk(pixels))
        if self.pool:
            return features.mean((-2, -1)).unflatten(0, (b, t))[:, :, None]
        return (features.flatten(2).transpose(1, 2) + self.position).unflatten(0, (b, t))
