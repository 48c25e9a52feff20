"""Targets: encoders of what must be predicted, and how they follow the online encoder."""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.types import Encoder


def linear_momentum(start: float, end: float, num_steps: int) -> Callable[[int], float]:
    """Momentum that rises linearly over training (ACT-JEPA: 0.996 to 1)."""
    for value in (start, end):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"momentum must lie in [0, 1], got {value}")
    if num_steps < 1:
        raise ValueError(f"the momentum needs at least 1 step to rise, got {num_steps}")
    return lambda step: start + (end - start) * min(step / num_steps, 1.0)


class EMATarget(nn.Module):
    """A slowly moving average of the online encoder: ``m * target + (1 - m) * online`` after each optimiser step.

    Always in eval mode and without gradients. Floating-point buffers (batch-norm statistics) are averaged too; integer
    buffers are copied.

    Args:
        online: the encoder to follow; kept by reference, not as a submodule.
        momentum: m in [0, 1], or a function of the step.
        tie: names of parameters that are copied instead of averaged (AD-L-JEPA's empty token).

    Raises:
        ValueError: a momentum outside [0, 1] or a tied name that does not exist.
    """

    def __init__(
        self, online: nn.Module, momentum: float | Callable[[int], float] = 0.996, *, tie: tuple[str, ...] = ()
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

    @property
    def num_tokens(self) -> int:
        """Tokens of a step."""
        return self.encoder.num_tokens  # pyright: ignore[reportReturnType]

    @property
    def dim(self) -> int:
        """Latent width."""
        return self.encoder.dim  # pyright: ignore[reportReturnType]

    def train(self, mode: bool = True) -> "EMATarget":
        """Stays in eval mode: dropout never reaches the targets."""
        super().train(mode)
        self.encoder.eval()
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
        theirs = dict(online.named_buffers())
        buffers = [(mine, theirs[name]) for name, mine in self.encoder.named_buffers()]
        _lerp([(a, b) for a, b in buffers if a.is_floating_point()], 1.0 - m)
        for a, b in tied + [(a, b) for a, b in buffers if not a.is_floating_point()]:
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
    """The online encoder itself; gradients flow through the targets too (LeWorldModel, the concept JEPA)."""

    def __init__(self, online: Encoder):
        super().__init__()
        self._online = (online,)

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Target latents, attached."""
        return self._online[0](view)

    def reuse(self, encoder: Encoder, latents: Tensor) -> Tensor | None:
        """Target latents from those that ``encoder`` gave to the same frames; None if it is another encoder."""
        return latents if encoder is self._online[0] else None

    def update(self, step: int) -> None:
        """Nothing to do: the online encoder is the target."""


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
