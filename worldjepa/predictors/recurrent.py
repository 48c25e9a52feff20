"""Next latents from a recurrent state: a step of constant time and memory, whatever came before."""

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.predictors.samples import split_samples


class RecurrentPredictor(nn.Module):
    """A GRU that reads a frame's latents and the action that follows, and predicts the next frame's latents.

    Its rollouts have no longest horizon. The tokens of a frame are one vector to it.

    Args:
        dim: width D of the latents. action_dim: A. num_tokens: N.
        width: of the state. num_layers: of the GRU.
        residual: predict the change of the latent instead of the latent.
    """

    context_length = 1_000_000

    def __init__(
        self,
        *,
        dim: int,
        action_dim: int,
        num_tokens: int = 1,
        width: int = 256,
        num_layers: int = 1,
        residual: bool = True,
    ):
        super().__init__()
        self.dim, self.action_dim, self.num_tokens, self.residual = dim, action_dim, num_tokens, residual
        self.action = nn.Sequential(nn.Linear(action_dim, width), nn.SiLU())
        self.project = nn.Linear(num_tokens * dim, width)
        self.gru = nn.GRU(2 * width, width, num_layers, batch_first=True)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.last = nn.Linear(width, num_tokens * dim)

    def forward(self, z: Float[Tensor, "b tc n d"], query: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of frames 1..T, each from the frames before it; ``query["action"]`` [B, T, A]."""
        action = query["action"]
        return self._run(z[:, : action.shape[1]], self.action(action), None)[0]

    def rollout(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """Imagined latents of the H steps after the context: see `CausalPredictor.rollout`."""
        flat, shape = split_samples(z, action)
        past, repeat = z.shape[1] - 1, len(flat) // len(z)
        told, state = self.action(flat), None
        if past:
            state = self._run(z[:, :-1], told[::repeat, :past], None)[1].repeat_interleave(repeat, dim=1)
        frame, imagined = z[:, -1:].repeat_interleave(repeat, dim=0), []
        for t in range(past, flat.shape[1]):
            frame, state = self._run(frame, told[:, t : t + 1], state)
            imagined.append(frame)
        return torch.cat(imagined, dim=1).reshape(shape)

    def _run(self, z: Tensor, told: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Predictions after each frame of ``z`` [M, T, N, D], and the state after the last."""
        x, after = self.gru(torch.cat([self.project(z.flatten(2)), told], dim=-1), state)
        change = self.last(self.out(x)).unflatten(-1, (self.num_tokens, self.dim))
        return (z + change if self.residual else change), after
