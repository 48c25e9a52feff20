"""Where the views and actions of seq-JEPA and of the baselines come from: one table of sources."""

from dataclasses import replace
from typing import Literal, Protocol

from worldjepa.recipes.keys import Window, check_keys, sizes
from worldjepa.recipes.seq_encoder import EncoderConfig
from worldjepa.types import DataSpec, ViewFunction
from worldjepa.views import Poses, SequenceViews
from worldjepa.views.augment import Augmentation, AugmentedViews
from worldjepa.views.saccades import SaccadeViews

SOURCES = ("poses", "recorded", "augmentations", "saccades")


class SourceConfig(EncoderConfig, Protocol):
    """The fields of a recipe's configuration that say what its views are; see `seq_jepa.Config`."""

    @property
    def source(self) -> str: ...
    @property
    def rotation_key(self) -> str | None: ...
    @property
    def difference_keys(self) -> tuple[str, ...]: ...
    @property
    def canonical(self) -> bool: ...
    @property
    def stride(self) -> int: ...
    @property
    def normalize_parameters(self) -> bool: ...
    @property
    def blur(self) -> bool: ...
    @property
    def saliency_key(self) -> str | None: ...
    @property
    def inhibition(self) -> Literal["circle", "square"] | None: ...
    @property
    def normalization(self) -> str: ...


def check_source(config: SourceConfig, spec: DataSpec) -> None:
    """Raises ValueError for an unknown source, or one that the data cannot serve."""
    if config.source not in SOURCES:
        raise ValueError(f"source must be one of {list(SOURCES)}, got {config.source!r}")
    check_keys((config.image_key,), "image", spec)
    if config.source == "recorded":
        if spec.action_dim == 0:
            raise ValueError(
                'source="recorded" needs recorded actions, and the data have none: take source="augmentations" or '
                '"saccades" for single pictures'
            )
        return
    if config.normalization != "identity":
        raise ValueError(
            f"normalization {config.normalization!r} would change the {config.source} that actions are made of: "
            'it must be "identity"'
        )
    if config.source == "poses":
        keys = poses(config).keys
        if missing := [key for key in keys if key not in spec.obs]:
            raise ValueError(
                f'source="poses" reads {list(keys)}, and the data have no {missing}, only {sorted(spec.obs)}: name '
                'others (rotation_key, difference_keys), or take source="augmentations" or "saccades" for pictures, '
                '"recorded" for a robot\'s frames'
            )
        check_keys(keys, "state", spec)
        if config.rotation_key is not None and spec.obs[config.rotation_key].shape != (4,):
            raise ValueError(
                f"observation {config.rotation_key!r} must be a quaternion (x, y, z, w), it has shape "
                f"{spec.obs[config.rotation_key].shape}; rotation_key=None leaves rotations out"
            )
    if config.source == "saccades":
        _check_saccades(config, spec)


def _check_saccades(config: SourceConfig, spec: DataSpec) -> None:
    if config.view_size is None:
        raise ValueError('source="saccades" needs view_size, the side of a patch in pixels, such as 32')
    if config.saliency_key is not None and config.saliency_key not in spec.obs:
        raise ValueError(
            f"the data have no saliency map {config.saliency_key!r}, they have {sorted(spec.obs)}: add one to images "
            "with worldjepa convert IMAGES OUT --saliency spectral_residual, or set saliency_key=None to look "
            "everywhere alike"
        )


def poses(config: SourceConfig) -> Poses:
    """How the way from one view to the next is written."""
    return Poses(config.rotation_key, config.difference_keys, config.canonical)


def action_size(config: SourceConfig, spec: DataSpec) -> int:
    """A: numbers that tell the transformation from one view to the next."""
    if config.source == "recorded":
        return spec.action_dim * config.stride
    if config.source == "augmentations":
        return AugmentedViews.action_dim
    if config.source == "saccades":
        return SaccadeViews.action_dim
    return (4 if config.rotation_key is not None else 0) + sum(sizes(config.difference_keys, spec).values())


def build_views(config: SourceConfig, spec: DataSpec, observed: int) -> ViewFunction:
    """The view function: ``observed`` views as context, one more as target, the actions between them as query.

    Raises:
        ValueError: as of `check_source`.
    """
    check_source(config, spec)
    if config.source == "augmentations":
        law = Augmentation(size=config.view_size)
        law = law if config.blur else replace(law, blur=(0.0, 0.0))
        return AugmentedViews(config.image_key, observed, law, config.normalize_parameters)
    if config.source == "saccades":
        assert config.view_size is not None
        return SaccadeViews(
            config.image_key, observed, config.saliency_key, config.view_size, inhibition=config.inhibition
        )
    return SequenceViews((config.image_key,), observed, poses(config) if config.source == "poses" else None)


def source_window(config: SourceConfig, spec: DataSpec, observed: int) -> Window:
    """The sequences to load: distinct views of an object, consecutive frames, or single pictures.

    Raises:
        ValueError: as of `check_source`.
    """
    check_source(config, spec)
    keys: tuple[str, ...] = (config.image_key,)
    if config.source == "recorded":
        advice = _advice(observed, config.stride)
        return Window(1, observed, observed + 1, keys, stride=config.stride, pad=False, advice=advice)
    if config.source == "poses":
        return Window(1, observed, observed + 1, (*keys, *poses(config).keys), distinct=True)
    if config.source == "saccades" and config.saliency_key is not None:
        keys = (*keys, config.saliency_key)
    return Window(1, 0, 1, keys, distinct=True)


def _advice(observed: int, stride: int) -> str:
    """What to do where no episode has the steps of a sequence."""
    lower = [f"{name} (--model.{name})" for name, x in (("observed", observed), ("stride", stride)) if x > 1]
    first = f"lower {' or '.join(lower)}, or " if lower else ""
    return f"{observed + 1} views at stride {stride} need {observed * stride} actions: {first}record longer episodes"
