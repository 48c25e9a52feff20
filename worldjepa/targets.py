"""Targets: encoders of what must be predicted, and how they follow the online encoder."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from worldjepa.types import Encoder


def linear_momentum(start: float, end: float, num_steps: int | None) -> Callable[[int], float]:
    """Momentum that rises linearly over training (ACT-JEPA: 0.996 to 1); ``num_steps`` as in `cosine_momentum`."""
    progress = _progress(start, end, num_steps)
    return lambda step: start + (end - start) * progress(step)


def cosine_momentum(start: float, end: float, num_steps: int | None) -> Callable[[int], float]:
    """Momentum that rises along half a cosine, slowly at both ends (BYOL, seq-JEPA: 0.996 to 1).

    ``num_steps`` None: not known before a training is planned; asking for a momentum that changes then raises
    ValueError.
    """
    progress = _progress(start, end, num_steps)
    return lambda step: end - (end - start) * (math.cos(math.pi * progress(step)) + 1) / 2


def _progress(start: float, end: float, num_steps: int | None) -> Callable[[int], float]:
    """Step -> share of the rise that is behind, in [0, 1]."""
    for value in (start, end):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"momentum must lie in [0, 1], got {value}")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"the momentum needs at least 1 step to rise, got {num_steps}")

    def progress(step: int) -> float:
        if start == end:
            return 1.0
        if num_steps is None:
            raise ValueError("the target's momentum needs the number of optimiser steps: set momentum_steps")
        return min(step / num_steps, 1.0)

    return progress


class EMATarget(nn.Module):
    """A slowly moving average of the online encoder: ``m * target + (1 - m) * online`` after each optimiser step.

    Without gradients, and in eval mode but for the batch norms that have ``own_statistics``. Without these,
    floating-point buffers (batch-norm statistics) are averaged too, as in EMAN (arXiv 2101.08482), and integer buffers
    are copied.

    Args:
        online: the encoder to follow; kept by reference, not as a submodule.
        momentum: m in [0, 1], or a function of the step.
        tie: names of parameters that are copied instead of averaged (AD-L-JEPA's empty token).
        own_statistics: batch norm of the target uses the statistics of its own batch in training, and keeps running
            ones of its own, as in BYOL and released seq-JEPA; buffers do not follow the online encoder then.

    Raises:
        ValueError: a momentum outside [0, 1] or a tied name that does not exist.
    """

    def __init__(
        self,
        online: nn.Module,
        momentum: float | Callable[[int], float] = 0.996,
        *,
        tie: tuple[str, ...] = (),
        own_statistics: bool = False,
    ):
        super().__init__()
        if not callable(momentum) and not 0.0 <= momentum <= 1.0:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}")
        names = {name for name, _ in online.named_parameters()}
        if not set(tie) <= names:
            raise ValueError(f"cannot tie {sorted(set(tie) - names)}: the encoder has no such parameters")
        self._online = (online,)  # in a tuple, so that it is no submodule and its weights are not saved twice
        self.encoder = copy.deepcopy(online).eval().requires_grad_(False)
        self.momentum = momentum
        self.tie = tie
        self.own_statistics = own_statistics

    @property
    def num_tokens(self) -> int:
        """Tokens of a step."""
        return self.encoder.num_tokens  # pyright: ignore[reportReturnType]

    @property
    def dim(self) -> int:
        """Latent width."""
        return self.encoder.dim  # pyright: ignore[reportReturnType]

    def train(self, mode: bool = True) -> "EMATarget":
        """Stays in eval mode: dropout never reaches the targets. Batch norm too, but for its own statistics."""
        super().train(mode)
        self.encoder.eval()
        if self.own_statistics:
            for module in self.encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.train(mode)
        return self

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Target latents, detached."""
        with torch.no_grad():
            return self.encoder(view)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the online encoder; ``step`` counts optimiser steps from 0."""
        online = self._online[0]
        m = self.momentum(step) if callable(self.momentum) else self.momentum
        theirs = dict(online.named_parameters())
        pairs = [(name, mine, theirs[name].detach()) for name, mine in self.encoder.named_parameters()]
        _lerp([(a, b) for name, a, b in pairs if name not in self.tie], 1.0 - m)
        tied = [(a, b) for name, a, b in pairs if name in self.tie]
        if self.own_statistics:
            _copy(tied)
            return
        theirs = dict(online.named_buffers())
        buffers = [(mine, theirs[name]) for name, mine in self.encoder.named_buffers()]
        _lerp([(a, b) for a, b in buffers if a.is_floating_point()], 1.0 - m)
        _copy(tied + [(a, b) for a, b in buffers if not a.is_floating_point()])


def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    for a, b in pairs:
        a.copy_(b)


def _lerp(pairs: list[tuple[Tensor, Tensor]], weight: float) -> None:
    """a += weight * (b - a), in one call: parameters and buffers apart, for sharded parameters are of another type."""
    if pairs:
        torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], weight)  # pyright: ignore[reportPrivateImportUsage]


class StopGradient(nn.Module):
    """The online encoder itself, its targets detached (SimSiam; the deep-linear theory)."""

    def __init__(self, online: Encoder):
        super().__init__()
        self._online = (online,)

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Target latents, detached."""
        return self._online[0](view).detach()

    def reuse(self, encoder: Encoder, latents: Tensor) -> Tensor | None:
        """Target latents from those that ``encoder`` gave to the same frames; None if it is another encoder."""
        return latents.detach() if encoder is self._online[0] else None

    def update(self, step: int) -> None:
        """Nothing to do: the online encoder is the target."""


class Shared(nn.Module):
    """The online encoder itself; gradients flow through the targets too (LeWorldModel, the concept JEPA).

    Args:
        online: the encoder; kept by reference.
        projector: latents to what is compared, behind the encoder (SimCLR, VICReg); learned. None: nothing.
    """

    def __init__(self, online: Encoder, projector: nn.Module | None = None):
        super().__init__()
        self._online = (online,)
        self.projector = projector

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Target latents, attached."""
        return self._project(self._online[0](view))

    def reuse(self, encoder: Encoder, latents: Tensor) -> Tensor | None:
        """Target latents from those that ``encoder`` gave to the same frames; None if it is another encoder."""
        return self._project(latents) if encoder is self._online[0] else None

    def update(self, step: int) -> None:
        """Nothing to do: the online encoder is the target."""

    def _project(self, latents: Tensor) -> Tensor:
        return latents if self.projector is None else self.projector(latents)


class Projected(nn.Module):
    """An encoder with a projector behind it: what `EMATarget` averages where projections are predicted (BYOL).

    Args:
        encoder: view -> [B, T, N, C].
        projector: [B, T, N, C] -> [B, T, N, D].
        dim: D.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module, dim: int):
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.num_tokens, self.dim = encoder.num_tokens, dim

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Projections of a view's latents."""
        return self.projector(self.encoder(view))


class Fixed(nn.Module):
    """A feature map that is not learned: a frozen network, random features, the raw state.

    Args:
        features: view -> [B, T, N, D].
    """

    def __init__(self, features: nn.Module | Callable[[TensorDict], Tensor]):
        super().__init__()
        if isinstance(features, nn.Module):
            features.eval().requires_grad_(False)
        self.features = features

    def train(self, mode: bool = True) -> "Fixed":
        """Stays in eval mode."""
        super().train(mode)
        if isinstance(self.features, nn.Module):
            self.features.eval()
        return self

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Target latents, detached."""
        with torch.no_grad():
            return self.features(view)

    def update(self, step: int) -> None:
        """Nothing to do: the features are fixed."""
