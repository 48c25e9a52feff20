"""World models: a JEPA that is told the robot's actions, rolled out in latent space and planned in.

An encoder looks at each frame by itself; a causal predictor says the next frame's latents from those so far and the
actions between them; a regulariser keeps the latents from collapsing. `lewm` is LeWorldModel (arXiv 2603.19312),
`pldm` PLDM as EB-JEPA has it (arXiv 2602.03604), `dino_wm` DINO-WM (arXiv 2411.04983), which learns the predictor
alone.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from worldjepa.encoders import ConvTrunk, FrameEncoder, ImpalaTrunk, ResNet, StateEncoder, ViT
from worldjepa.jepa import JEPA
from worldjepa.objectives import (
    Ensemble,
    InverseDynamics,
    LatentDistance,
    OpenLoop,
    RewardHead,
    SIGReg,
    Straightening,
    SuccessHead,
    Sum,
    TimeSimilarity,
    VarianceCovariance,
)
from worldjepa.predictors import CausalPredictor, ConcatPredictor, LatentGRU, RecurrentPredictor
from worldjepa.recipes.ac_jepa_config import Config, dino_wm, lewm, pldm, small, states
from worldjepa.recipes.keys import Window, check_keys, resolve_states, sizes
from worldjepa.targets import EMATarget, Shared, StopGradient
from worldjepa.types import DataSpec, Encoder, Target
from worldjepa.views import TransitionViews

__all__ = ["Config", "build", "dino_wm", "lewm", "pldm", "resolve_keys", "small", "states", "window"]

AnyPredictor = CausalPredictor | ConcatPredictor | LatentGRU | RecurrentPredictor


def build(config: Config, spec: DataSpec, features: nn.Module | None = None) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Args:
        config: see `Config`.
        spec: of the data.
        features: with ``trunk="features"``, the frozen encoder: pixels [M, C, h, w] -> vectors [M, channels], tokens
            [M, cells, channels] or a map [M, channels, rows, columns]. It is put in eval mode and gets no gradient.

    Raises:
        ValueError: keys that the data lacks, sizes that do not fit, no frozen encoder or one too many.
    """
    keys = resolve_keys(config, spec)
    encoder = _encoder(config, spec, features)
    widths = (encoder.dim, int(encoder.num_tokens), spec.action_dim * config.stride)
    predictor = _predictor(config, *widths, norm=_shared_norm(config, encoder))
    model = JEPA(TransitionViews(keys, config.history, config.horizon), encoder, _target(config, encoder), predictor)
    return model, _objective(config, predictor, *widths)


def resolve_keys(config: Config, spec: DataSpec) -> tuple[str, ...]:
    """The observations it sees, defaults filled in from the data.

    Raises:
        ValueError: a key that the data lacks, or of the wrong kind.
    """
    check_keys(config.image_keys, "image", spec)
    states = () if config.image_keys and not config.state_keys else resolve_states(config.state_keys, spec)
    return (*states, *config.image_keys)


def window(config: Config, spec: DataSpec) -> Window:
    """The windows this recipe is trained on: whole, with the images of every frame."""
    keys, count = resolve_keys(config, spec), config.history + config.horizon
    return Window(config.history, config.horizon, count, keys, stride=config.stride, pad=False)


def _encoder(config: Config, spec: DataSpec, features: nn.Module | None) -> FrameEncoder:
    if (features is not None) != (config.trunk == "features"):
        raise ValueError(
            'trunk="features" needs the frozen encoder it stands for, and no other trunk takes one: pass '
            f"features=encoder to make_learner or from_pretrained; got trunk {config.trunk!r} and {type(features)}"
        )
    keys = resolve_keys(config, spec)
    state_keys = tuple(k for k in keys if k not in config.image_keys)
    state = None
    if state_keys:
        state = StateEncoder(sizes(state_keys, spec), config.state_dim, hidden=config.state_hidden or None)
    shapes = {key: spec.obs[key].shape for key in config.image_keys}
    trunks = {key: _trunk(config, shape, features) for key, shape in shapes.items()}
    return FrameEncoder(
        state,
        trunks,
        shapes,
        dim=config.dim,
        tokens=config.tokens,
        project=config.projector,
        pixels=config.pixels,
        frozen=features is not None,
        norm=config.norm,
    )


def _trunk(config: Config, shape: tuple[int, ...], features: nn.Module | None) -> nn.Module:
    if features is not None:
        return features
    if config.trunk == "conv":
        return ConvTrunk(shape, width=config.trunk_width)
    if config.trunk == "resnet":
        return ResNet(width=config.trunk_width, in_channels=shape[2])
    if config.trunk == "impala":
        return ImpalaTrunk(shape[2], width=config.trunk_width, flat=config.tokens == "one")
    if config.trunk in ("vit", "vit_cls"):
        return ViT(
            shape,
            patch=config.vit_patch,
            channels=config.trunk_width,
            num_layers=config.vit_layers,
            num_heads=config.vit_heads,
            readout="class" if config.trunk == "vit_cls" else "map",
            eps=1e-12 if config.trunk == "vit_cls" else 1e-5,
        )
    choices = '"conv", "resnet", "impala", "vit", "vit_cls" or "features"'
    raise ValueError(f"trunk must be {choices}, got {config.trunk!r}")


def _shared_norm(config: Config, encoder: FrameEncoder) -> nn.LayerNorm | None:
    """The encoder's layer norm, where the predictor is to have the same."""
    if not config.shared_norm:
        return None
    if config.predictor != "gru" or not isinstance(encoder.norm, nn.LayerNorm):
        raise ValueError(
            'shared_norm is for norm=True and predictor="gru", whose states are latents: got '
            f"norm={config.norm} and predictor={config.predictor!r}"
        )
    return encoder.norm


def _predictor(
    config: Config, dim: int, num_tokens: int, action_dim: int, *, norm: nn.LayerNorm | None = None
) -> AnyPredictor:
    shared: dict[str, Any] = {"dim": dim, "action_dim": action_dim, "num_tokens": num_tokens}
    if config.predictor == "gru":
        return LatentGRU(**shared, norm=norm)
    if config.predictor == "recurrent":
        return RecurrentPredictor(
            **shared,
            width=config.predictor_dim or 2 * config.dim,
            num_layers=config.predictor_layers,
            residual=config.residual,
        )
    if config.predictor != "causal":
        raise ValueError(f'predictor must be "causal", "recurrent" or "gru", got {config.predictor!r}')
    shared |= {
        "context_length": config.history - 1 + config.horizon,
        "num_layers": config.predictor_layers,
        "num_heads": config.num_heads,
        "head_dim": config.head_dim,
        "ffn_dim": config.ffn_dim,
        "dropout": config.dropout,
        "residual": config.residual,
        "sliding": config.sliding,
    }
    if config.conditioning == "adaln":
        return CausalPredictor(
            **shared,
            width=config.predictor_dim,
            smoothed_dim=config.smoothed_dim,
            projector=config.predictor_projector,
        )
    if config.conditioning != "concat":
        raise ValueError(f'conditioning must be "adaln" or "concat", got {config.conditioning!r}')
    if config.predictor_dim or config.predictor_projector:
        raise ValueError(
            'with conditioning="concat" the predictor is as wide as latents and action together and has no projector: '
            f"got predictor_dim {config.predictor_dim} and predictor_projector {config.predictor_projector}"
        )
    return ConcatPredictor(**shared, action_embed=config.action_embed)


def _target(config: Config, encoder: Encoder) -> Target:
    if config.target == "shared":
        return Shared(encoder)
    if config.target == "stop":
        return StopGradient(encoder)
    if config.target == "ema":
        assert isinstance(encoder, nn.Module)
        return EMATarget(encoder, config.momentum)
    raise ValueError(f'target must be "shared", "stop" or "ema", got {config.target!r}')


def _objective(config: Config, predictor: AnyPredictor, dim: int, num_tokens: int, action_dim: int) -> Sum:
    """The terms whose weight is not 0."""
    steps = config.horizon if config.open_loop_steps is None else config.open_loop_steps
    transitions = config.history - 1 + config.horizon
    if not 1 <= config.inverse_gap <= transitions:
        raise ValueError(
            f"inverse_gap must be in 1..{transitions}, the transitions of a window (history - 1 + horizon), got "
            f"{config.inverse_gap}: lengthen the horizon for a longer one"
        )
    vicreg = {"variance": config.variance, "covariance": config.covariance}
    terms: list[tuple[float | dict[str, float], Callable[[], nn.Module]]] = [
        (config.prediction, lambda: LatentDistance(config.distance)),
        (config.open_loop, lambda: OpenLoop(predictor, config.history, steps, config.distance)),
        (config.sigreg, lambda: SIGReg(num_slices=config.sigreg_slices)),
        (vicreg if any(vicreg.values()) else 0.0, lambda: _variance_covariance(config)),
        (config.temporal, _temporal),
        (config.inverse, lambda: InverseDynamics(dim, action_dim, num_tokens=num_tokens, max_gap=config.inverse_gap)),
        (config.similarity, TimeSimilarity),
        (config.straightening, Straightening),
        (config.reward, lambda: RewardHead(dim, num_tokens=num_tokens)),
        (config.success, lambda: SuccessHead(dim, num_tokens=num_tokens)),
        (float(config.ensemble > 0), lambda: _ensemble(config, num_tokens, dim, action_dim)),
    ]
    return Sum(*((weight, make()) for weight, make in terms if weight))


def _temporal() -> VarianceCovariance:
    return VarianceCovariance(threshold=0.5, by="sequence", tokens="features", parts=("variance",), name="temporal")


def _variance_covariance(config: Config) -> VarianceCovariance:
    if config.covariance_per not in ("feature", "pair"):
        raise ValueError(f'covariance_per must be "feature" or "pair", got {config.covariance_per!r}')
    pairs = config.covariance_per == "pair"
    return VarianceCovariance(tokens="features" if pairs else "rows", per=config.covariance_per)


def _ensemble(config: Config, num_tokens: int, dim: int, action_dim: int) -> Ensemble:
    return Ensemble([_predictor(config, dim, num_tokens, action_dim) for _ in range(config.ensemble)])
