"""The baselines of seq-JEPA: methods that compare two views, on its encoder, its data and its training loop.

Both views are the context. The target holds the second view's projection (BYOL: the moving average's, of both), the
predictor says it from the first; the objective compares. What differs is written out below, method by method. The
latents `JEPA.encode` gives are those before the projector, for all of them.

What differs from the code released with seq-JEPA: both views pass the encoder in one batch, whose batch norm sees them
together.
"""

from collections.abc import Callable
from dataclasses import dataclass

from worldjepa.encoders import FrameEncoder
from worldjepa.jepa import JEPA
from worldjepa.objectives import BeforeAction, LatentDistance, NTXent, OnFeatures, Sum, VarianceCovariance
from worldjepa.objectives.rows import Source as Rows
from worldjepa.predictors.pairs import (
    ConditionalPredictor,
    Conditioned,
    CrossPredictor,
    EquivariantPredictor,
    FirstProjection,
    Head,
    Hypernetwork,
    SplitHead,
)
from worldjepa.recipes.keys import Window
from worldjepa.recipes.seq_encoder import build_encoder
from worldjepa.recipes.seq_views import action_size, build_views, source_window
from worldjepa.recipes.view_pairs_config import PRESETS, VIEWS_AND_TRUNK, Config, presets, same_views, small
from worldjepa.targets import EMATarget, Projected, Shared, cosine_momentum
from worldjepa.types import DataSpec, Predictor, Target
from worldjepa.views import PairViews

__all__ = ["METHODS", "PRESETS", "VIEWS_AND_TRUNK", "Config", "build", "presets", "same_views", "small", "window"]


@dataclass(frozen=True)
class Method:
    """What tells a method from the others."""

    target: Target
    """What is predicted."""
    predictor: Predictor
    """From what."""
    objective: Sum
    """How near it must come, and what keeps it from collapsing."""


def build(config: Config, spec: DataSpec) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Raises:
        ValueError: an unknown method, a source that the data cannot serve, sizes that do not fit.
    """
    if config.method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {config.method!r}")
    views = PairViews(build_views(config, spec, 1), symmetric=config.method == "byol")
    encoder = build_encoder(config, spec)
    method = METHODS[config.method](config, encoder, action_size(config, spec))
    return JEPA(views, encoder, method.target, method.predictor), method.objective


def window(config: Config, spec: DataSpec) -> Window:
    """The pairs this recipe is trained on."""
    return source_window(config, spec, 1)


def _simclr(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """NT-Xent between the projections of two views."""
    projector = Head(encoder.dim, config.projector, end="norm")
    return Method(Shared(encoder, projector), FirstProjection(projector), Sum((1.0, NTXent(config.temperature))))


def _vicreg(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """Mean squared distance of projections, whose features spread and do not correlate."""
    projector = Head(encoder.dim, config.projector, end="linear")
    alike = LatentDistance("l2", name="invariance")
    objective = Sum(
        (config.invariance, alike),
        (_weights(config, "first"), _spread("predicted", "first")),
        (_weights(config, "second"), _spread("target", "second")),
    )
    return Method(Shared(encoder, projector), FirstProjection(projector), objective)


def _byol(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """Each view's averaged projection from the other view: 2 - 2 cos, in both directions."""
    projector = Head(encoder.dim, config.projector, end="norm")
    head = Head(projector.dim, (config.hidden, projector.dim), end="affine")
    target = _averaged(config, encoder, projector)
    return Method(target, CrossPredictor(projector, head), Sum((4.0, LatentDistance("cosine"))))


def _cond_byol(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """The second view's averaged projection from the first view and the action: 2 - 2 cos."""
    projector = Head(encoder.dim, config.projector, end="norm")
    options = {"action_embed": config.action_embed, "hidden": (config.hidden,)}
    transform = Conditioned(projector.dim, action_dim, end="affine", **options)
    target = _averaged(config, encoder, projector)
    return Method(target, ConditionalPredictor(projector, transform), Sum((2.0, LatentDistance("cosine"))))


def _equimod(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """NT-Xent between invariant projections, and between the equivariant one and that which the action predicts."""
    still, moving = (Head(encoder.dim, config.projector, end="norm") for _ in range(2))
    projector = SplitHead(still, moving)
    transform = Conditioned(moving.dim, action_dim, action_embed=config.action_embed, end="norm")
    alike, moved = (NTXent(config.temperature, name=name) for name in ("invariance", "equivariance"))
    objective = Sum(
        (config.invariance, OnFeatures(alike, 0, still.dim)),
        (config.equivariance, OnFeatures(moved, still.dim, projector.dim)),
    )
    return Method(Shared(encoder, projector), EquivariantPredictor(projector, transform), objective)


def _sie(config: Config, encoder: FrameEncoder, action_dim: int) -> Method:
    """One half of the latent must not change, the other moves by a matrix made of the action; VICReg's regularisers on
    both together, which keeps them from holding the same, and the variance hinge on what is predicted."""
    half = encoder.dim // 2
    still, moving = (Head(dim, config.projector, end="linear") for dim in (half, encoder.dim - half))
    projector = SplitHead(still, moving, split=half)
    alike, moved = (LatentDistance("l2", name=name) for name in ("invariance", "equivariance"))
    hinge = VarianceCovariance("predicted", parts=("variance",), name="predicted")
    objective = Sum(
        (config.invariance, OnFeatures(alike, 0, still.dim)),
        (config.equivariance, OnFeatures(moved, still.dim, projector.dim)),
        (_weights(config, "first"), BeforeAction(_spread("predicted", "first"), projector)),
        (_weights(config, "second"), _spread("target", "second")),
        (config.variance / 2, OnFeatures(hinge, still.dim, projector.dim)),
    )
    transform = Hypernetwork(moving.dim, action_dim)
    return Method(Shared(encoder, projector), EquivariantPredictor(projector, transform), objective)


METHODS: dict[str, Callable[[Config, FrameEncoder, int], Method]] = {
    "simclr": _simclr,
    "byol": _byol,
    "cond_byol": _cond_byol,
    "vicreg": _vicreg,
    "equimod": _equimod,
    "sie": _sie,
}


def _averaged(config: Config, encoder: FrameEncoder, projector: Head) -> EMATarget:
    if config.target_statistics not in ("averaged", "batch"):
        raise ValueError(f'target_statistics must be "averaged" or "batch", got {config.target_statistics!r}')
    momentum = cosine_momentum(config.momentum, config.momentum_end, config.momentum_steps)
    online = Projected(encoder, projector, projector.dim)
    return EMATarget(online, momentum, own_statistics=config.target_statistics == "batch")


def _spread(of: Rows, name: str) -> VarianceCovariance:
    return VarianceCovariance(of, name=name)


def _weights(config: Config, name: str) -> dict[str, float]:
    """Of one view's regularisers, as released: the hinge is averaged over views, the covariances are added."""
    return {f"{name}_variance": config.variance / 2, f"{name}_covariance": config.covariance}
