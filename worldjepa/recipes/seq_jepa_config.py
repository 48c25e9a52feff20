"""Configurations of seq-JEPA: what can be chosen, and the published settings."""

from dataclasses import dataclass, replace
from typing import Literal

from worldjepa.encoders.frame import Pixels

Source = Literal["poses", "recorded", "augmentations", "saccades"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model; data-dependent sizes come from the data."""

    image_key: str = "image"
    """The camera, or the picture that views are made of."""
    observed: int = 3
    """M: views that are seen, before the one that is predicted."""
    source: Source = "poses"
    """Where views and actions come from: distinct views of an object and the transformations between their recorded
    poses; consecutive frames and the recorded actions; augmentations of one picture; patches around fixations."""
    rotation_key: str | None = "rotation"
    """With "poses": the object's orientation, a unit quaternion (x, y, z, w); None: the action has no rotation."""
    difference_keys: tuple[str, ...] = ()
    """With "poses": further observations whose differences are part of the action, such as hues."""
    canonical: bool = True
    """Give a relative rotation by the one of its two quaternions whose w is not negative; released: either."""
    stride: int = 1
    """With "recorded": control steps between consecutive views; an action is a block of so many."""
    view_size: int | None = None
    """Side of a view in pixels, where views are cut from a picture; None: the picture's, not possible with
    "saccades"."""
    normalize_parameters: bool = False
    """With "augmentations": divide each parameter by its norm over the views of the sample, as released; the action
    then depends on all of them."""
    blur: bool = True
    """With "augmentations": blur the views."""
    saliency_key: str | None = "saliency"
    """With "saccades": the map that fixations are drawn from; None: uniformly."""
    inhibition: Literal["circle", "square"] | None = "circle"
    """With "saccades": where no later fixation may lie, half a patch around a fixation; None: anywhere. Released: a
    square."""
    trunk: Literal["conv", "resnet", "vit"] = "resnet"
    """Image trunk, pooled to a vector: a small CNN with batch norm, a ResNet-18, a ViT's class token."""
    trunk_width: int = 64
    """Channels of the first stage, or of the ViT."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks of each stage of the ResNet."""
    stem: Literal["standard", "small"] = "standard"
    """The ResNet's first layers: for large images, or for small ones (no pooling, stride 1)."""
    vit_patch: int = 8
    """Side of a ViT patch in pixels."""
    vit_layers: int = 6
    """Transformer layers of the ViT."""
    vit_heads: int = 3
    """Attention heads of the ViT."""
    pixels: Pixels = "unit"
    """How pixels are scaled: to [0, 1], to [-1, 1], or standardised as a data set's."""
    action_embed: int = 128
    """Width of the embedding of an action."""
    layers: int = 3
    """Transformer layers of the aggregator."""
    num_heads: int = 4
    """Attention heads of the aggregator."""
    ffn: int = 4
    """Feed-forward width of the aggregator, as a multiple of its width."""
    hidden: int = 1024
    """Hidden width of the predictor."""
    dropout: float = 0.1
    """Dropout of the aggregator."""
    condition_tokens: bool = True
    """Tell the aggregator the actions between the views."""
    condition_predictor: bool = True
    """Tell the predictor the action to the view that it must predict."""
    unused_action: Literal["skip", "zero", "keep"] = "skip"
    """What the batch norm of the action embedding is shown in the place of the last view, whose action the aggregator
    must not know: nothing; zeros, as released for augmentations and saccades; the action, as released for 3DIEBench,
    which leaks it into the batch's statistics."""
    momentum: float = 0.996
    """Momentum of the target encoder at the start."""
    momentum_end: float = 1.0
    """Momentum at the end, reached along a cosine."""
    momentum_steps: int | None = None
    """Optimiser steps over which the momentum rises; None: those of the training (`worldjepa train` fills them in)."""
    target_statistics: Literal["averaged", "batch"] = "batch"
    """Batch norm of the target encoder: statistics of its own batch, as released, or averaged running ones (arXiv
    2101.08482), with which far less is learned in short trainings (docs/benchmarks.md)."""
    normalization: Literal["zscore", "minmax", "identity"] = "identity"
    """How recorded actions are normalised; poses stay as they are."""


def threedie() -> Config:
    """3DIEBench as published (arXiv 2505.03176): ResNet-18 at 128 px, three views, actions are rotations.

    Published training: AdamW, lr 4e-4, weight decay 1e-3, batch 512, 1000 epochs, warm-up of 20, cosine to 1e-5. The
    released code differs in what `released` turns on.
    """
    return Config(pixels="threedie")


def cifar() -> Config:
    """CIFAR-100 as published: three augmentations of a picture of 32 px, ResNet-18 with the small stem, 2000 epochs."""
    return Config(source="augmentations", stem="small", pixels="cifar100")


def tiny_imagenet() -> Config:
    """Tiny ImageNet as published: as `cifar`, at 64 px and with the standard stem."""
    return Config(source="augmentations", pixels="tiny_imagenet")


def saccades() -> Config:
    """STL-10 with predictive learning across saccades as published: four patches of 32 px, drawn by saliency."""
    return Config(source="saccades", observed=4, view_size=32, stem="small", pixels="stl10")


def small() -> Config:
    """For a CPU and 64 px: a small CNN, rotations as actions, a target that follows fast."""
    return Config(trunk="conv", trunk_width=32, action_embed=32, layers=2, dropout=0.0, momentum=0.97)


def released(config: Config) -> Config:
    """The same with the released code's computation: see the fields that this sets."""
    additive = config.source in ("augmentations", "saccades")
    return replace(
        config,
        canonical=False,
        normalize_parameters=config.source == "augmentations",
        inhibition="square" if config.inhibition is not None else None,
        unused_action="zero" if additive else "keep",
        target_statistics="batch",
    )
