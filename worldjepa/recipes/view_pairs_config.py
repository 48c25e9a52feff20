"""Configurations of the methods that compare two views, and their published settings.

The settings are those of the comparison in seq-JEPA's paper (arXiv 2505.03176, section A.3), on its encoder, data and
number of epochs; published training of these baselines: Adam, lr 1e-3, no weight decay, batch 512. The code released
with it has other defaults, which each preset names.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from worldjepa.encoders.frame import Pixels
from worldjepa.recipes import seq_jepa_config
from worldjepa.recipes.seq_jepa_config import Source


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model; fields of views and trunk are those of `seq_jepa.Config`."""

    method: Literal["simclr", "byol", "cond_byol", "vicreg", "equimod", "sie"] = "simclr"
    """SimCLR, BYOL and VICReg make two views alike; conditional BYOL, EquiMod and SIE are told the action between."""
    image_key: str = "image"
    """The camera, or the picture that views are made of."""
    source: Source = "poses"
    """Where views and actions come from."""
    rotation_key: str | None = "rotation"
    """With "poses": the object's orientation; None: the action has no rotation."""
    difference_keys: tuple[str, ...] = ()
    """With "poses": further observations whose differences are part of the action."""
    canonical: bool = True
    """Give a relative rotation by the one of its two quaternions whose w is not negative."""
    stride: int = 1
    """With "recorded": control steps between the two views."""
    view_size: int | None = None
    """Side of a view in pixels, where views are cut from a picture; None: the picture's."""
    normalize_parameters: bool = False
    """With "augmentations": divide each parameter by its norm over the views of the sample, as released."""
    blur: bool = True
    """With "augmentations": blur the views."""
    saliency_key: str | None = "saliency"
    """With "saccades": the map that fixations are drawn from; None: uniformly."""
    inhibition: Literal["circle", "square"] | None = "circle"
    """With "saccades": where no later fixation may lie, half a patch around a fixation; None: anywhere."""
    trunk: Literal["conv", "resnet", "vit"] = "resnet"
    """Image trunk, pooled to a vector."""
    trunk_width: int = 64
    """Channels of the first stage, or of the ViT."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks of each stage of the ResNet."""
    stem: Literal["standard", "small"] = "standard"
    """The ResNet's first layers: for large images, or for small ones."""
    vit_patch: int = 8
    """Side of a ViT patch in pixels."""
    vit_layers: int = 6
    """Transformer layers of the ViT."""
    vit_heads: int = 3
    """Attention heads of the ViT."""
    pixels: Pixels = "unit"
    """How pixels are scaled."""
    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the projector's layers; of each of the two projectors where there are an invariant and an equivariant
    one."""
    hidden: int = 512
    """Hidden width of BYOL's predictor."""
    action_embed: int = 128
    """Width of the embedding of an action (conditional BYOL, EquiMod)."""
    temperature: float = 0.5
    """By which cosines are divided (SimCLR, EquiMod)."""
    invariance: float = 1.0
    """Weight of making views alike (VICReg, SIE; in EquiMod the other weight is relative to it)."""
    equivariance: float = 1.0
    """Weight of predicting the equivariant projection (EquiMod, SIE)."""
    variance: float = 1.0
    """Weight of the variance hinge, averaged over the two views (VICReg, SIE)."""
    covariance: float = 1.0
    """Weight of the covariance penalty, summed over the two views (VICReg, SIE)."""
    momentum: float = 0.996
    """Momentum of BYOL's target at the start."""
    momentum_end: float = 1.0
    """Momentum at the end, reached along a cosine."""
    momentum_steps: int | None = None
    """Optimiser steps over which the momentum rises; None: those of the training (`worldjepa train` fills them in)."""
    target_statistics: Literal["averaged", "batch"] = "batch"
    """Batch norm of BYOL's target: statistics of its own batch, as published, or averaged running ones (arXiv
    2101.08482)."""
    normalization: Literal["zscore", "minmax", "identity"] = "identity"
    """How recorded actions are normalised; poses stay as they are."""


VIEWS_AND_TRUNK = (
    *("image_key", "source", "rotation_key", "difference_keys", "canonical", "stride", "view_size", "blur"),
    *("normalize_parameters", "saliency_key", "inhibition", "normalization"),
    *("trunk", "trunk_width", "depths", "stem", "vit_patch", "vit_layers", "vit_heads", "pixels"),
)
"""Fields that say what is seen and by which encoder; `seq_jepa.Config` has them too."""


def same_views(config: Config, other: seq_jepa_config.Config) -> Config:
    """``config``'s method on the views and with the encoder of a seq-JEPA that it is to be compared with."""
    return replace(config, **{name: getattr(other, name) for name in VIEWS_AND_TRUNK})


def small(config: Config) -> Config:
    """A method for a CPU and 64 px: views, encoder and momentum of `seq_jepa.small`, projectors an eighth as wide as
    published, predictors and embeddings of actions a quarter."""
    projector = tuple(width // 8 for width in config.projector)
    beside = seq_jepa_config.small()
    narrow = replace(config, projector=projector, hidden=config.hidden // 4, action_embed=config.action_embed // 4)
    return same_views(replace(narrow, momentum=beside.momentum), beside)


def simclr() -> Config:
    """SimCLR (arXiv 2002.05709) on 3DIEBench. Released code: the same."""
    return same_views(Config(method="simclr", temperature=0.5), seq_jepa_config.threedie())


def byol() -> Config:
    """BYOL (arXiv 2006.07733) on 3DIEBench. Released code: projector 2048-128, hidden width 2048."""
    return same_views(Config(method="byol", hidden=512), seq_jepa_config.threedie())


def cond_byol() -> Config:
    """BYOL in one direction, told the action. Released code: as of `byol`."""
    return same_views(Config(method="cond_byol", hidden=512, action_embed=128), seq_jepa_config.threedie())


def vicreg() -> Config:
    """VICReg (arXiv 2105.04906) on 3DIEBench. Released code: weights 25, 25 and 1."""
    config = Config(method="vicreg", invariance=10.0, variance=10.0, covariance=1.0)
    return same_views(config, seq_jepa_config.threedie())


def equimod() -> Config:
    """SimCLR with EquiMod (arXiv 2211.01244) on 3DIEBench. Released code: temperature 0.5."""
    config = Config(method="equimod", projector=(1024, 1024, 128), action_embed=128, temperature=0.1)
    return same_views(config, seq_jepa_config.threedie())


def sie() -> Config:
    """SIE (arXiv 2302.10283) on 3DIEBench, the latent split in halves. Released code: weights 25, 25 (the equivariant
    one relative to 25) and 1."""
    config = Config(method="sie", projector=(1024,) * 3, invariance=10.0, equivariance=4.5, variance=10.0)
    return same_views(config, seq_jepa_config.threedie())


PRESETS = {"simclr": simclr, "byol": byol, "cond_byol": cond_byol, "vicreg": vicreg, "equimod": equimod, "sie": sie}
"""The published setting of each method."""


def presets() -> dict[str, Callable[[], Config]]:
    """By name: "<method>" as published, "<method>_small" for a CPU, and "small", which is SimCLR's."""
    narrow = {f"{name}_small": partial(_small, preset) for name, preset in PRESETS.items()}
    return {"small": narrow["simclr_small"], **narrow, **PRESETS}


def _small(preset: Callable[[], Config]) -> Config:
    return small(preset())
