"""Rollouts of many action samples from one context."""

from jaxtyping import Float
from torch import Tensor


def split_samples(z: Float[Tensor, "b tc n d"], action: Tensor) -> tuple[Float[Tensor, "m t a"], tuple[int, ...]]:
    """Actions as rows, and the shape that the rollout's latents shall have.

    Args:
        z: context latents [B, Tc, N, D].
        action: [B, Tc-1+H, A] or [B, S, Tc-1+H, A].

    Returns:
        Actions [B or B*S, Tc-1+H, A], samples of a row of z side by side; shape [B, (S,) H, N, D].

    Raises:
        ValueError: other shapes, or no action after the context.
    """
    if action.ndim not in (3, 4) or action.shape[0] != z.shape[0]:
        raise ValueError(
            f"expected actions [B, T, A] or [B, S, T, A] for {len(z)} rows of latents, got {tuple(action.shape)}"
        )
    horizon = action.shape[-2] - (z.shape[1] - 1)
    if horizon < 1:
        raise ValueError(
            f"{z.shape[1]} frames of context need {z.shape[1] - 1} actions between them and at least one after them, "
            f"got {action.shape[-2]}"
        )
    shape = (*action.shape[:-2], horizon, *z.shape[2:])
    return (action if action.ndim == 3 else action.flatten(0, 1)), shape
