"""World models: a JEPA that is told the robot's actions, rolled out in latent space and planned in.

An encoder looks at each frame by itself; a causal predictor says the next frame's latents from those so far and the
actions between them; a regulariser keeps the latents from collapsing. `lewm` is LeWorldModel (arXiv 2603.19312),
`pldm` after PLDM (arXiv 2502.14819), `dino_wm` after DINO-WM (arXiv 2411.04983), which learns the predictor alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from worldjepa.encoders import ConvTrunk, FrameEncoder, ResNet, StateEncoder, ViT
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
from worldjepa.predictors import CausalPredictor, RecurrentPredictor
from worldjepa.recipes.keys import Window, check_keys, resolve_states, sizes
from worldjepa.targets import EMATarget, Shared, StopGradient
from worldjepa.types import DataSpec, Encoder, Target
from worldjepa.views import TransitionViews


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model; data-dependent sizes come from the data."""

    state_keys: tuple[str, ...] = ()
    """Low-dimensional observations it sees; empty: all of the data's, or none if there are cameras."""
    image_keys: tuple[str, ...] = ()
    """Cameras it sees."""
    history: int = 1
    """Frames of context it is given when it is planned in, the present included."""
    horizon: int = 8
    """Transitions after the present in a training window, and the longest rollout."""
    stride: int = 1
    """Control steps of one transition: an action of the model is a block of so many actions."""
    trunk: Literal["conv", "resnet", "vit", "vit_cls", "features"] = "conv"
    """Image trunk: a small CNN, a ResNet-18, a ViT's patches or its class token, or the user's own frozen encoder."""
    trunk_width: int = 32
    """Channels of the CNN's first stage, or of the ViT."""
    vit_patch: int = 14
    """Side of a ViT patch in pixels."""
    vit_layers: int = 12
    """Transformer layers of the ViT."""
    vit_heads: int = 3
    """Attention heads of the ViT."""
    pixels: Literal["unit", "imagenet"] = "unit"
    """Whether pixels are in [0, 1] or standardised as ImageNet's."""
    tokens: Literal["one", "map"] = "one"
    """One token a frame, or one for each cell of the trunk's map."""
    state_dim: int = 64
    """Width of the state's features."""
    state_hidden: int = 128
    """Hidden width of the state's features; 0: linear."""
    dim: int = 128
    """Width of the latents."""
    projector: int | None = 0
    """Hidden width of a perceptron with batch norm behind the encoder; 0: a linear map; None: nothing."""
    predictor: Literal["causal", "recurrent"] = "causal"
    """A transformer with a key-value cache, or a GRU whose step takes constant time."""
    predictor_dim: int | None = None
    """Width of the predictor; None: that of the latents."""
    predictor_layers: int = 2
    """Layers of the predictor."""
    num_heads: int = 4
    """Attention heads of the predictor."""
    head_dim: int = 16
    """Width of a head."""
    ffn_dim: int = 256
    """Feed-forward width of the predictor."""
    dropout: float = 0.0
    """Dropout of the predictor."""
    predictor_projector: int | None = None
    """Hidden width of a perceptron with batch norm behind the predictor, or None."""
    residual: bool = True
    """Predict the change of the latent."""
    sliding: bool = False
    """Let rollouts go beyond the training window by looking at its length of frames only."""
    target: Literal["shared", "stop", "ema"] = "shared"
    """The encoder itself, with or without gradient, or its moving average."""
    momentum: float = 0.99
    """Momentum of the moving average."""
    distance: Literal["l1", "l2", "smooth_l1", "cosine"] = "l2"
    """Distance between predicted and target latents."""
    prediction: float = 1.0
    """Weight of the one-step prediction, each step from true latents."""
    open_loop: float = 0.0
    """Weight of the multi-step prediction, each step from imagined latents."""
    sigreg: float = 0.0
    """Weight of SIGReg (LeJEPA)."""
    sigreg_slices: int = 1024
    """Random directions of SIGReg."""
    variance: float = 0.0
    """Weight of VICReg's variance hinge."""
    covariance: float = 0.0
    """Weight of VICReg's covariance penalty."""
    inverse: float = 0.0
    """Weight of inverse dynamics: the action from the latents before and after it."""
    similarity: float = 0.0
    """Weight of the distance between consecutive latents (PLDM)."""
    straightening: float = 0.0
    """Weight of temporal straightening."""
    reward: float = 0.0
    """Weight of a reward head."""
    success: float = 0.0
    """Weight of a success head."""
    ensemble: int = 0
    """Further predictors on frozen latents, whose disagreement is the rollout's uncertainty; 0 or at least 2."""
    normalization: Literal["zscore", "minmax", "identity"] = "zscore"
    """How states and actions are normalised."""


def lewm() -> Config:
    """LeWorldModel as published: ViT-tiny class token at 224 px, projector, AdaLN transformer, l2 and 0.09 SIGReg.

    Released hyper-parameters: three frames of context five control steps apart, AdamW, lr 5e-5, weight decay 1e-3,
    batch 128, clipping at 1, bf16.
    """
    return Config(
        image_keys=("image",),
        history=3,
        horizon=1,
        stride=5,
        trunk="vit_cls",
        trunk_width=192,
        pixels="imagenet",
        dim=192,
        projector=2048,
        predictor_layers=6,
        num_heads=16,
        head_dim=64,
        ffn_dim=2048,
        dropout=0.1,
        predictor_projector=2048,
        residual=False,
        sliding=True,
        sigreg=0.09,
    )


def pldm() -> Config:
    """PLDM's objective on a CNN and a GRU: l2 over rollouts, variance, covariance, time similarity, inverse dynamics.

    Coefficients as in EB-JEPA's two-rooms example (arXiv 2602.03604): 16, 8, 12 and 1.
    """
    return Config(
        image_keys=("image",),
        horizon=8,
        predictor="recurrent",
        prediction=0.0,
        open_loop=1.0,
        variance=16.0,
        covariance=8.0,
        similarity=12.0,
        inverse=1.0,
    )


def dino_wm() -> Config:
    """DINO-WM's shape on any frozen encoder (`build(..., features=...)`): its tokens, proprioception beside them.

    The predictor alone is learned, so nothing can collapse. Published: 224 px, DINOv2-S/14, three frames five apart.
    """
    return Config(
        image_keys=("image",),
        history=3,
        horizon=1,
        stride=5,
        trunk="features",
        pixels="imagenet",
        tokens="map",
        state_dim=10,
        state_hidden=0,
        projector=None,
        predictor_layers=6,
        num_heads=16,
        head_dim=64,
        ffn_dim=2048,
        dropout=0.1,
        residual=False,
        sliding=True,
        target="stop",
    )


def small() -> Config:
    """For a CPU and 64 px images: a CNN, one token, a GRU, SIGReg and inverse dynamics."""
    return Config(
        image_keys=("image",),
        stride=5,
        horizon=8,
        trunk_width=16,
        dim=64,
        predictor="recurrent",
        predictor_layers=1,
        sigreg=0.1,
        inverse=10.0,
    )


def states() -> Config:
    """For a CPU and low-dimensional states."""
    return replace(small(), image_keys=())


def build(config: Config, spec: DataSpec, features: nn.Module | None = None) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Args:
        config: see `Config`.
        spec: of the data.
        features: with ``trunk="features"``, the frozen encoder: pixels [M, C, h, w] -> [M, channels] or
            [M, channels, rows, columns].

    Raises:
        ValueError: keys that the data lacks, sizes that do not fit, no frozen encoder or one too many.
    """
    keys = resolve_keys(config, spec)
    encoder = _encoder(config, spec, features)
    predictor = _predictor(config, int(encoder.num_tokens), encoder.dim, spec.action_dim * config.stride)
    model = JEPA(TransitionViews(keys, config.history, config.horizon), encoder, _target(config, encoder), predictor)
    widths = (encoder.dim, int(encoder.num_tokens), spec.action_dim * config.stride)
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
    if features is not None:
        features.requires_grad_(False)
    return FrameEncoder(
        state, trunks, shapes, dim=config.dim, tokens=config.tokens, project=config.projector, pixels=config.pixels
    )


def _trunk(config: Config, shape: tuple[int, ...], features: nn.Module | None) -> nn.Module:
    if features is not None:
        return features
    if config.trunk == "conv":
        return ConvTrunk(shape, width=config.trunk_width)
    if config.trunk == "resnet":
        return ResNet(width=config.trunk_width, in_channels=shape[2])
    if config.trunk in ("vit", "vit_cls"):
        return ViT(
            shape,
            patch=config.vit_patch,
            channels=config.trunk_width,
            num_layers=config.vit_layers,
            num_heads=config.vit_heads,
            readout="class" if config.trunk == "vit_cls" else "map",
        )
    raise ValueError(f'trunk must be "conv", "resnet", "vit", "vit_cls" or "features", got {config.trunk!r}')


def _predictor(config: Config, num_tokens: int, dim: int, action_dim: int) -> CausalPredictor | RecurrentPredictor:
    shared: dict[str, Any] = {"dim": dim, "action_dim": action_dim, "num_tokens": num_tokens}
    if config.predictor == "recurrent":
        return RecurrentPredictor(
            **shared,
            width=config.predictor_dim or 2 * config.dim,
            num_layers=config.predictor_layers,
            residual=config.residual,
        )
    if config.predictor != "causal":
        raise ValueError(f'predictor must be "causal" or "recurrent", got {config.predictor!r}')
    return CausalPredictor(
        **shared,
        context_length=config.history - 1 + config.horizon,
        width=config.predictor_dim,
        num_layers=config.predictor_layers,
        num_heads=config.num_heads,
        head_dim=config.head_dim,
        ffn_dim=config.ffn_dim,
        dropout=config.dropout,
        projector=config.predictor_projector,
        residual=config.residual,
        sliding=config.sliding,
    )


def _target(config: Config, encoder: Encoder) -> Target:
    if config.target == "shared":
        return Shared(encoder)
    if config.target == "stop":
        return StopGradient(encoder)
    if config.target == "ema":
        assert isinstance(encoder, nn.Module)
        return EMATarget(encoder, config.momentum)
    raise ValueError(f'target must be "shared", "stop" or "ema", got {config.target!r}')


def _objective(
    config: Config, predictor: CausalPredictor | RecurrentPredictor, dim: int, num_tokens: int, action_dim: int
) -> Sum:
    """The terms whose weight is not 0."""
    vicreg = {"variance": config.variance, "covariance": config.covariance}
    terms: list[tuple[float | dict[str, float], Callable[[], nn.Module]]] = [
        (config.prediction, lambda: LatentDistance(config.distance)),
        (config.open_loop, lambda: OpenLoop(predictor, config.history, config.horizon, config.distance)),
        (config.sigreg, lambda: SIGReg(num_slices=config.sigreg_slices)),
        (vicreg if any(vicreg.values()) else 0.0, VarianceCovariance),
        (config.inverse, lambda: InverseDynamics(dim, action_dim, num_tokens=num_tokens)),
        (config.similarity, TimeSimilarity),
        (config.straightening, Straightening),
        (config.reward, lambda: RewardHead(dim, num_tokens=num_tokens)),
        (config.success, lambda: SuccessHead(dim, num_tokens=num_tokens)),
        (float(config.ensemble > 0), lambda: _ensemble(config, num_tokens, dim, action_dim)),
    ]
    return Sum(*((weight, make()) for weight, make in terms if weight))


def _ensemble(config: Config, num_tokens: int, dim: int, action_dim: int) -> Ensemble:
    return Ensemble([_predictor(config, num_tokens, dim, action_dim) for _ in range(config.ensemble)])
