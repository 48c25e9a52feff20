"""The encoder of seq-JEPA and of the baselines that are compared with it: one vector for each view."""

from typing import Protocol

from torch import nn

from worldjepa.encoders import ConvTrunk, FrameEncoder, ResNet, ViT
from worldjepa.encoders.frame import Pixels
from worldjepa.recipes.keys import check_keys
from worldjepa.types import DataSpec


class EncoderConfig(Protocol):
    """The fields of a recipe's configuration that `build_encoder` reads; see `seq_jepa.Config`."""

    @property
    def image_key(self) -> str: ...
    @property
    def view_size(self) -> int | None: ...
    @property
    def trunk(self) -> str: ...
    @property
    def trunk_width(self) -> int: ...
    @property
    def depths(self) -> tuple[int, ...]: ...
    @property
    def stem(self) -> str: ...
    @property
    def vit_patch(self) -> int: ...
    @property
    def vit_layers(self) -> int: ...
    @property
    def vit_heads(self) -> int: ...
    @property
    def pixels(self) -> Pixels: ...


def build_encoder(config: EncoderConfig, spec: DataSpec) -> FrameEncoder:
    """Views to latents [B, T, 1, C]: a pooled ResNet or CNN, or a ViT's class token, and nothing behind it.

    Raises:
        ValueError: the data lack the image, views that the trunk cannot take, an unknown trunk.
    """
    shape = view_shape(config, spec)
    trunk = _trunk(config, shape)
    channels = int(trunk.channels)  # pyright: ignore[reportArgumentType]
    key = config.image_key
    return FrameEncoder(None, {key: trunk}, {key: shape}, dim=channels, project=None, pixels=config.pixels)


def view_shape(config: EncoderConfig, spec: DataSpec) -> tuple[int, int, int]:
    """(rows, columns, channels) of a view: the image's, or those that are cut from it.

    Raises:
        ValueError: the data lack the image, or hold something else under that key.
    """
    check_keys((config.image_key,), "image", spec)
    rows, columns, channels = spec.obs[config.image_key].shape
    size = config.view_size
    return (size or rows, size or columns, channels)


def _trunk(config: EncoderConfig, shape: tuple[int, ...]) -> nn.Module:
    if config.trunk == "conv":
        return ConvTrunk(shape, width=config.trunk_width, pool=True, norm=True)
    if config.trunk == "resnet":
        return ResNet(
            depths=config.depths,
            width=config.trunk_width,
            stem=config.stem,  # pyright: ignore[reportArgumentType]
            in_channels=shape[2],
            pool=True,
            identity=True,
        )
    if config.trunk == "vit":
        return ViT(
            shape,
            patch=config.vit_patch,
            channels=config.trunk_width,
            num_layers=config.vit_layers,
            num_heads=config.vit_heads,
            readout="class",
        )
    raise ValueError(f'trunk must be "conv", "resnet" or "vit", got {config.trunk!r}')
