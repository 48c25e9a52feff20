"""ACT-JEPA: a chunked policy whose encoder also predicts the latents of the future (arXiv 2501.14622).

The context encoder reads the present frame(s); a head predicts a chunk of actions; a narrow predictor predicts, for
each future step, the latent that an averaged copy of the encoder gives to that step's state. What differs from the
released code, on purpose: the targets may include object state and images, losses divide by the number of valid
elements, no padding mask reaches the queries in training (there is none at test time), buffers are averaged with the
weights, and the target has no copy of a camera trunk where no image is predicted. The blocks have GELU instead of
ReLU and biases in their feed-forward nets, queries start near a sine-cosine code of their step, the trunk starts from
random weights, and there is no embedding of a task.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from worldjepa.encoders import FusedEncoder, ImageEncoder, ResNet, StateEncoder, ViT
from worldjepa.jepa import JEPA
from worldjepa.objectives import ActionChunk, ChunkDecoder, LatentDistance, MLPChunk, Sum
from worldjepa.predictors import QueryPredictor
from worldjepa.recipes.keys import Window, check_keys, check_relative, resolve_states, sizes
from worldjepa.targets import EMATarget, linear_momentum
from worldjepa.types import DataSpec
from worldjepa.views import FutureViews


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model; data-dependent sizes come from the data."""

    state_keys: tuple[str, ...] = ()
    """Low-dimensional observations the policy sees; empty: all of the data's, or none if there are cameras."""
    image_keys: tuple[str, ...] = ()
    """Cameras the policy sees."""
    target_keys: tuple[str, ...] = ()
    """Observations whose future latents are predicted; empty: all state keys it sees, or
    all cameras if there are none. May name cameras."""
    history: int = 1
    """Frames of context, the present included."""
    chunk: int = 30
    """Actions predicted at once."""
    horizon: int = 30
    """Last future step whose latent is predicted."""
    stride: int = 1
    """Transitions from one predicted step to the next; divides the horizon."""
    action_conditioned: bool = False
    """Tell the predictor the actions: it becomes a world model that can be rolled out."""
    jepa_weight: float = 1.0
    """Weight of the latent loss; 0 leaves ACT without a CVAE."""
    distance: Literal["l1", "l2", "smooth_l1", "cosine"] = "l1"
    """Distance between predicted and target latents."""
    momentum: float = 0.996
    """Momentum of the target encoder at the start."""
    momentum_end: float = 0.996
    """Momentum that it rises to, linearly; published: 1.0, at which the target stands still."""
    momentum_steps: int | None = None
    """Optimiser steps over which the momentum rises; None: those of the training (`worldjepa train` fills them in)."""
    target_sees: Literal["window", "step"] = "window"
    """What a step's target latent depends on: the whole future window, as published, or that step alone. A predictor
    that is told the actions should be asked for "step": it cannot know what comes after the step."""
    dim: int = 512
    """Width of the latents."""
    num_heads: int = 8
    """Attention heads, everywhere."""
    ffn_dim: int = 2048
    """Feed-forward width of encoder and action decoder."""
    encoder_layers: int = 4
    """Transformer layers of the encoder."""
    decoder_layers: int = 1
    """Transformer layers of the action decoder."""
    head: Literal["decoder", "mlp"] = "decoder"
    """Action head: learned queries that read the latents, as published, or a perceptron (a quarter of the time)."""
    head_hidden: tuple[int, ...] = (1024, 1024)
    """Hidden widths of the perceptron."""
    state_hidden: int = 0
    """Width of a hidden layer in the state embedding; 0: linear, as published."""
    predictor_dim: int = 128
    """Width of the predictor; its feed-forward width is four times that."""
    predictor_layers: int = 4
    """Transformer layers of the predictor."""
    dropout: float = 0.1
    """Dropout in all transformer blocks."""
    norm: Literal["pre", "post"] = "post"
    """Layer norm before or after the blocks' branches."""
    trunk: Literal["resnet", "vit"] = "resnet"
    """Image trunk: a ResNet-18 or a small ViT."""
    trunk_width: int = 64
    """Channels of the ResNet's first stage (64: ResNet-18)."""
    vit_patch: int = 16
    """Side of a ViT patch in pixels."""
    normalization: Literal["zscore", "minmax", "identity"] = "zscore"
    """How states and actions are normalised."""
    relative_to: str | None = None
    """Observation whose present value is subtracted from every action, such as the position that an action of target
    positions moves: the policy then learns offsets. None: actions as they are."""


def paper() -> Config:
    """The published setting for Push-T: 96 px images and the agent's position, chunk and horizon 30, one frame.

    The published target window of 30 states starts at the present, so it reaches 29 steps ahead; the momentum rises
    from 0.996 to 1 over the training. A preset holds no settings of the training; those released are AdamW with lr
    6e-4 and weight decay 0.1, batch 128, gradients clipped at 1, 4000 steps, a cosine to 0 after 4 % of warm-up, no
    average of the weights, and all 30 actions executed open loop. Where they are not the defaults:

        worldjepa train act_jepa DATA --out RUN --preset paper --fit.steps 4000 --fit.warmup 160 --fit.lr 6e-4
            --fit.weight-decay 0.1 --fit.average 0
        worldjepa evaluate RUN --action-steps 30
    """
    return Config(
        state_keys=("agent_pos",), image_keys=("image",), target_keys=("agent_pos",), horizon=29, momentum_end=1.0
    )


def small() -> Config:
    """For a CPU and low-dimensional states: two frames of context, chunk 16, one layer of width 128."""
    return Config(
        history=2,
        chunk=16,
        horizon=16,
        dim=128,
        num_heads=4,
        ffn_dim=512,
        encoder_layers=1,
        decoder_layers=1,
        predictor_dim=64,
        predictor_layers=1,
        state_hidden=128,
        dropout=0.0,
        norm="pre",
    )


def act(config: Config) -> Config:
    """The ACT baseline of a configuration: the same network without the latent loss."""
    return replace(config, jepa_weight=0.0)


def build(config: Config, spec: DataSpec) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    With ``jepa_weight`` 0 neither target nor predictor is built: the weights of encoder and head follow the same path
    as with a predictor whose loss counts nothing (tested bit for bit).

    Raises:
        ValueError: keys that the data lacks, targets that the policy does not see, sizes that do not fit.
    """
    state_keys, target_keys = resolve_keys(config, spec)
    views = FutureViews((*state_keys, *config.image_keys), target_keys, config.history, config.horizon, config.stride)
    blocks: dict[str, Any] = {"num_heads": config.num_heads, "dropout": config.dropout, "norm": config.norm}
    hidden = config.state_hidden or None
    state = StateEncoder(sizes(state_keys, spec), config.dim, hidden=hidden) if state_keys else None
    images = {key: _image_encoder(config, spec.obs[key].shape) for key in config.image_keys}
    encoder = FusedEncoder(state, images, num_layers=config.encoder_layers, ffn_dim=config.ffn_dim, **blocks)
    head = _head(config, encoder.num_tokens, spec.action_dim, blocks)
    policy = (1.0, ActionChunk(head, start=config.history - 1))
    if config.jepa_weight == 0.0:
        return JEPA(views, encoder), Sum(policy)
    momentum = linear_momentum(config.momentum, config.momentum_end, config.momentum_steps)
    target = EMATarget(encoder.restrict(target_keys, within_step=config.target_sees == "step"), momentum)
    predictor = QueryPredictor(
        dim=config.dim,
        horizon=config.horizon,
        stride=config.stride,
        context_length=config.history,
        num_tokens=target.num_tokens,
        width=config.predictor_dim,
        num_layers=config.predictor_layers,
        ffn_dim=4 * config.predictor_dim,
        action_dim=spec.action_dim if config.action_conditioned else None,
        **blocks,
    )
    return JEPA(views, encoder, target, predictor), Sum(policy, (config.jepa_weight, LatentDistance(config.distance)))


def _head(config: Config, num_tokens: int, action_dim: int, blocks: dict[str, Any]) -> ChunkDecoder | MLPChunk:
    if config.head == "mlp":
        in_dim = config.history * num_tokens * config.dim
        return MLPChunk(in_dim=in_dim, action_dim=action_dim, chunk=config.chunk, hidden=config.head_hidden)
    if config.head != "decoder":
        raise ValueError(f'head must be "decoder" or "mlp", got {config.head!r}')
    return ChunkDecoder(
        dim=config.dim,
        action_dim=action_dim,
        chunk=config.chunk,
        num_layers=config.decoder_layers,
        ffn_dim=config.ffn_dim,
        **blocks,
    )


def resolve_keys(config: Config, spec: DataSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """State keys and target keys, defaults filled in from the data.

    Raises:
        ValueError: a key that the data lacks, of the wrong kind, or a target that the policy does not see.
    """
    states = () if config.image_keys and not config.state_keys else resolve_states(config.state_keys, spec)
    check_keys(config.image_keys, "image", spec)
    check_relative(config.relative_to, states, spec)
    targets = config.target_keys or states or config.image_keys
    unseen = [k for k in targets if k not in (*states, *config.image_keys)]
    if unseen:
        raise ValueError(
            f"target keys {unseen} must be among the policy's observations {[*states, *config.image_keys]}"
        )
    return states, targets


def window(config: Config, spec: DataSpec) -> Window:
    """The windows this recipe is trained on; images of the future are loaded only where they are predicted."""
    states, targets = resolve_keys(config, spec)
    predicts_images = config.jepa_weight != 0.0 and any(k in config.image_keys for k in targets)
    image_frames = config.history + (config.horizon if predicts_images else 0)
    return Window(config.history, max(config.chunk, config.horizon), image_frames, (*states, *config.image_keys))


def _image_encoder(config: Config, shape: tuple[int, ...]) -> ImageEncoder:
    if config.trunk == "resnet":
        trunk = ResNet(width=config.trunk_width, in_channels=shape[2])
    elif config.trunk == "vit":
        trunk = ViT(shape, patch=config.vit_patch)
    else:
        raise ValueError(f'trunk must be "resnet" or "vit", got {config.trunk!r}')
    return ImageEncoder(trunk, shape, config.dim)
