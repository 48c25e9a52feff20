"""Next latents by one step of a GRU whose state is the latent: the predictor of EB-JEPA (arXiv 2602.03604)."""

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.predictors.samples import split_samples


class LatentGRU(nn.Module):
    """``norm(GRU(action, z))``: the future depends on the present latent alone; rollouts have no longest horizon.

    The tokens of a frame are one vector to it.

    Args:
        dim: width D of the latents. action_dim: A. num_tokens: N.
        norm: the layer norm, for one that is the encoder's too (EB-JEPA); None: its own.

    Raises:
        ValueError: ``norm`` is not of N * D features.
    """

    context_length = 1_000_000

    def __init__(self, *, dim: int, action_dim: int, num_tokens: int = 1, norm: nn.LayerNorm | None = None):
        super().__init__()
        self.dim, self.action_dim, self.num_tokens = dim, action_dim, num_tokens
        self.cell = nn.GRUCell(action_dim, num_tokens * dim)
        self.norm = nn.LayerNorm(num_tokens * dim) if norm is None else norm
        if self.norm.normalized_shape != (num_tokens * dim,):
            raise ValueError(
                f"a GRU over {num_tokens} tokens of {dim} needs a layer norm of {num_tokens * dim} features, got "
                f'{self.norm.normalized_shape}: share the encoder\'s norm only with tokens="one"'
            )

    def forward(self, z: Float[Tensor, "b tc n d"], query: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of frames 1..T, each from the frame before it; ``query["action"]`` [B, T, A]."""
        action = query["action"]
        before = z[:, : action.shape[1]].flatten(0, 1)
        return self._step(before, action.flatten(0, 1)).unflatten(0, action.shape[:2])

    def rollout(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """Imagined latents of the H steps after the context: see `FramePredictor.rollout`."""
        flat, shape = split_samples(z, action)
        frame, imagined = z[:, -1].repeat_interleave(len(flat) // len(z), dim=0), []
        for t in range(z.shape[1] - 1, flat.shape[1]):
            frame = self._step(frame, flat[:, t])
            imagined.append(frame)
        return torch.stack(imagined, dim=1).reshape(shape)

    def _step(self, z: Float[Tensor, "m n d"], action: Float[Tensor, "m a"]) -> Float[Tensor, "m n d"]:
        return self.norm(self.cell(action, z.flatten(1))).view_as(z)
