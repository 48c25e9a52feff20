"""Configurations of world models: what can be chosen, and the published systems."""

from dataclasses import dataclass, replace
from typing import Literal


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
    trunk: Literal["conv", "resnet", "impala", "vit", "vit_cls", "features"] = "conv"
    """Image trunk: a small CNN, a ResNet-18, IMPALA's residual network as EB-JEPA has it, a ViT's patches or its class
    token, or the user's own frozen encoder."""
    trunk_width: int = 32
    """Channels of the first stage of a convolutional trunk, or of the ViT."""
    vit_patch: int = 14
    """Side of a ViT patch in pixels."""
    vit_layers: int = 12
    """Transformer layers of the ViT."""
    vit_heads: int = 3
    """Attention heads of the ViT."""
    pixels: Literal["unit", "signed", "imagenet"] = "unit"
    """Whether pixels are in [0, 1], in [-1, 1] or standardised as ImageNet's."""
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
    norm: bool = False
    """Layer norm behind the encoder."""
    shared_norm: bool = False
    """That layer norm is the one behind the GRU whose state is the latent, too (EB-JEPA); it learns from both."""
    predictor: Literal["causal", "recurrent", "gru"] = "causal"
    """A transformer with a key-value cache; a GRU that reads latent and action and has a state of its own; or one whose
    state is the latent (EB-JEPA). A step of the last two takes constant time."""
    conditioning: Literal["adaln", "concat"] = "adaln"
    """How the transformer is told actions: by adaptive layer norm, or in channels beside each token (DINO-WM)."""
    action_embed: int = 10
    """Channels of the action beside each token."""
    smoothed_dim: int | None = None
    """Width of the linear map that the embedding for adaptive layer norm begins with; None: that of the action."""
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
    open_loop_steps: int | None = None
    """Steps of it; None: the horizon."""
    sigreg: float = 0.0
    """Weight of SIGReg (LeJEPA)."""
    sigreg_slices: int = 1024
    """Random directions of SIGReg."""
    variance: float = 0.0
    """Weight of VICReg's variance hinge."""
    covariance: float = 0.0
    """Weight of VICReg's covariance penalty."""
    temporal: float = 0.0
    """Weight of a variance hinge over each window's own frames, at 0.5: what never changes within an episode then does
    not suffice (after PLDM's temporal variance)."""
    covariance_per: Literal["feature", "pair"] = "feature"
    """Squared covariances summed for each feature (VICReg) or averaged over pairs, all tokens one vector (PLDM)."""
    inverse: float = 0.0
    """Weight of inverse dynamics: the action from the latents before and after it."""
    inverse_gap: int = 1
    """Frames from the latents before to those after, at most: every gap up to it is trained, and the action is the
    first of those between. As far as goals are, for `InverseDynamicsPolicy`."""
    similarity: float = 0.0
    """Weight of the distance between consecutive latents (PLDM)."""
    straightening: float = 0.0
    """Weight of temporal straightening."""
    reward: float = 0.0
    """Weight of a reward head, of data with rewards."""
    success: float = 0.0
    """Weight of a success head, of data that says of every episode whether it was solved."""
    ensemble: int = 0
    """Further predictors on frozen latents, whose disagreement is the rollout's uncertainty; 0 or at least 2."""
    normalization: Literal["zscore", "minmax", "identity"] = "zscore"
    """How states and actions are normalised."""


def lewm() -> Config:
    """LeWorldModel as released (arXiv 2603.19312, lucas-maes/le-wm): given the same weights, the same latents, loss and
    rollouts (tests/reference/test_lewm.py).

    ViT-tiny class token at 224 px, projector, AdaLN transformer, l2 + 0.09 SIGReg, gradient through the targets.
    Released training: AdamW, lr 5e-5, weight decay 1e-3, batch 128, clipping at 1, bf16.
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
        smoothed_dim=10,
        predictor_projector=2048,
        residual=False,
        sliding=True,
        sigreg=0.09,
    )


def pldm() -> Config:
    """PLDM (arXiv 2502.14819) as EB-JEPA released it for two rooms (arXiv 2602.03604, ac_video_jepa): given the same
    pixels, actions and weights, the same latents, loss and gradients (tests/reference/test_pldm.py).

    l2 of 8 imagined steps + 16 variance + 8 covariance + 12 time similarity + 1 inverse dynamics on clips of 17 frames,
    gradient through the targets; IMPALA's residual trunk; a GRU whose state is the latent, and one layer norm behind
    both. What is fed is the data's: there two channels of 65 px (dot, walls), each standardised, and actions as they
    are; here the cameras' channels in [0, 1] and actions as ``normalization`` says. Released training: AdamW, lr 1e-3,
    batch 384, gradients of encoder and predictor clipped at 2 each.
    """
    return Config(
        image_keys=("image",),
        horizon=16,
        trunk="impala",
        trunk_width=16,
        dim=512,
        norm=True,
        shared_norm=True,
        predictor="gru",
        prediction=0.0,
        open_loop=1.0,
        open_loop_steps=8,
        variance=16.0,
        covariance=8.0,
        covariance_per="pair",
        similarity=12.0,
        inverse=1.0,
    )


def dino_wm() -> Config:
    """DINO-WM as released (arXiv 2411.04983, gaoyuezhou/dino_wm) on any frozen encoder (`build(..., features=...)`):
    given the same features and weights, the same loss and rollouts (tests/reference/test_dino_wm.py).

    Action and proprioception (name its keys in ``state_keys``) stand in 10 channels each beside every patch token; l2
    on all but the action's. Only the predictor and the two embeddings are learned, so nothing can collapse. Released:
    224 px resized to 196, DINOv2-S/14 patch tokens [M, 196, 384], AdamW, lr 5e-4, batch 32.
    """
    return Config(
        image_keys=("image",),
        history=3,
        horizon=1,
        stride=5,
        trunk="features",
        pixels="signed",
        tokens="map",
        state_dim=10,
        state_hidden=0,
        projector=None,
        conditioning="concat",
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
    """For a CPU and 64 px images: a CNN, one token, a GRU trained open loop.

    Where an episode has a constant part (a maze's layout, say), l2 and SIGReg alone are content to encode that part: it
    is the easiest to predict. Temporal variance and inverse dynamics make the latents hold what moves.
    """
    return Config(
        image_keys=("image",),
        stride=5,
        horizon=5,
        trunk_width=16,
        dim=128,
        predictor="recurrent",
        predictor_layers=1,
        prediction=0.0,
        open_loop=1.0,
        sigreg=0.03,
        sigreg_slices=256,
        temporal=1.0,
        inverse=0.2,
    )


def states() -> Config:
    """For a CPU and low-dimensional states."""
    return replace(small(), image_keys=())
