"""Learned queries, one a future step and token, that read the context (ACT-JEPA, P_phi); told the actions or not."""

from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import DecoderBlock, sincos


class QueryPredictor(nn.Module):
    """Predicts the target latents of steps 0 (the present), stride, 2 stride, ... ``horizon`` in one pass.

    Without actions it predicts the future under the demonstrated behaviour, as published: it cannot be steered. With
    ``action_dim`` the query of step h is told the actions of the ``stride`` transitions that lead to it (at stride 1
    ``action[:, Tc - 1 + h - 1]``) and attends only to queries of steps <= h: its prediction depends on exactly the
    actions before it, and can be rolled out.

    Args:
        dim: width D of the context latents. target_dim: width Dt of the target latents (default D).
        horizon: last predicted step H >= 1. stride: transitions from one predicted step to the next, divides H.
        context_length: Tc, frames of context.
        num_tokens: Nt, tokens of a target step.
        width, num_layers, num_heads, ffn_dim, dropout, norm: of the decoder blocks.
        action_dim: A, or None.
    """

    def __init__(
        self,
        *,
        dim: int,
        horizon: int,
        stride: int = 1,
        context_length: int = 1,
        target_dim: int | None = None,
        num_tokens: int = 1,
        width: int = 128,
        num_layers: int = 4,
        num_heads: int = 8,
        ffn_dim: int = 512,
        dropout: float = 0.1,
        norm: Literal["pre", "post"] = "post",
        action_dim: int | None = None,
    ):
        super().__init__()
        if horizon < 1 or stride < 1 or horizon % stride:
            raise ValueError(f"expected a horizon of at least 1 that its stride divides, got {horizon} and {stride}")
        self.horizon, self.stride = horizon, stride
        self.num_tokens, self.context_length = num_tokens, context_length
        self.project = nn.Linear(dim, width)
        steps = sincos(torch.arange(0, horizon + 1, stride), width)
        self.query = nn.Parameter(steps[:, None] + 0.02 * torch.randn(len(steps), num_tokens, width))
        self.action = nn.Linear(action_dim * stride, width) if action_dim is not None else None
        self.blocks = nn.ModuleList(
            DecoderBlock(width, num_heads, ffn_dim, dropout=dropout, norm=norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, target_dim or dim)

    def forward(self, z: Float[Tensor, "b tc nc d"], query: TensorDict) -> Float[Tensor, "b tt nt dt"]:
        """Latents of steps 0, stride, ... H; with actions, ``query["action"]`` [B, Tc-1+H, A] sets H <= horizon."""
        if z.shape[1] != self.context_length:
            raise ValueError(f"this predictor reads {self.context_length} frames of context, got {z.shape[1]}")
        if self.action is None:
            return self._decode(z, self.query.expand(z.shape[0], -1, -1, -1), mask=None)
        action = query["action"][:, z.shape[1] - 1 :]
        horizon = action.shape[1]
        if not 1 <= horizon <= self.horizon or horizon % self.stride:
            raise ValueError(
                f"this predictor was built for up to {self.horizon} actions after the context, in blocks of "
                f"{self.stride}; got {horizon}"
            )
        blocks = self.action(action.unflatten(1, (-1, self.stride)).flatten(2))
        told = nn.functional.pad(blocks, (0, 0, 1, 0))  # the present is told no action
        queries = self.query[: told.shape[1]] + told[:, :, None]
        step = torch.arange(told.shape[1], device=z.device).repeat_interleave(self.num_tokens)
        return self._decode(z, queries, mask=step[:, None] >= step[None])

    def _decode(self, z: Tensor, queries: Tensor, mask: Tensor | None) -> Float[Tensor, "b tt nt dt"]:
        memory = self.project(z.flatten(1, 2))
        x = queries.flatten(1, 2)
        mask = None if mask is None else mask[None, None]
        for block in self.blocks:
            x = block(x, memory, mask)
        return self.out(self.norm(x)).unflatten(1, (-1, self.num_tokens))

    def rollout(self, z: Float[Tensor, "b tc nc d"], action: Float[Tensor, "b t a"]) -> Float[Tensor, "b h nt dt"]:
        """Latents of steps stride, 2 stride, ... H under given normalised actions [B, Tc-1+H, A].

        Raises:
            ValueError: built without ``action_dim``, or H is beyond the horizon.
        """
        if self.action is None:
            raise ValueError(
                "this predictor was not told the actions in training and cannot be rolled out under given ones; "
                "train with action_conditioned=True"
            )
        return self(z, TensorDict({"action": action}, batch_size=[z.shape[0]]))[:, 1:]
