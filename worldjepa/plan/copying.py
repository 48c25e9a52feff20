"""The model that knows nothing of actions: the floor of planning with a world model."""

from jaxtyping import Float
from torch import Tensor


class CopyLatent:
    """Imagines that nothing ever changes: every step's latents are the present's.

    Every action sequence then costs the same, and a planner returns the first it evaluated. What planning with a
    learned model gains over this, it gains by knowing what actions do; the rest is the planner's noise and the task's.
    """

    def rollout(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """The latents of the present [B, S, H, N, D] for actions [B, S, Tc-1+H, A], or without S."""
        horizon = action.shape[-2] - (z.shape[1] - 1)
        now = z[:, -1:]
        copied = (now if action.ndim == 3 else now[:, None]).expand(*action.shape[:-2], horizon, *z.shape[2:])
        if action.requires_grad:  # for planners by gradient there is one, of zeros
            copied = copied + 0.0 * action[..., -horizon:, :1, None]
        return copied
