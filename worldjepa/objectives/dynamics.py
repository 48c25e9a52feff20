"""Terms on consecutive latents: the action between them, and how far they lie apart (PLDM, arXiv 2502.14819)."""

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.perceptron import perceptron
from worldjepa.objectives.reduce import blank, masked_mean, widen
from worldjepa.objectives.rows import Source, check_choice, frame_valid, latents_of
from worldjepa.types import Prediction


class InverseDynamics(nn.Module):
    """Predicts the action from the latents before and after it, in normalised units.

    With ``max_gap`` above 1 the latents after it are up to so many frames ahead, and the action is the first of those
    between: a head that answers "how do I begin to get there", an amortised planner.

    Args:
        dim: width D of a token.
        action_dim: A, width of an action (block).
        hidden: widths of the hidden layers.
        num_tokens: N, tokens of a frame; all of them are read.
        max_gap: >= 1, frames from the first latents to the second; every gap up to it is trained.
        detach: keep the gradient from the latents: a readout that does not shape them.
        name: prefix of the scalar's name.

    Raises:
        ValueError: sizes below 1.
    """

    def __init__(
        self,
        dim: int,
        action_dim: int,
        hidden: tuple[int, ...] = (256, 256),
        num_tokens: int = 1,
        *,
        max_gap: int = 1,
        detach: bool = False,
        name: str = "",
    ):
        super().__init__()
        if max_gap < 1:
            raise ValueError(f"max_gap must be at least 1, got {max_gap}")
        self.net = perceptron(2 * num_tokens * dim, hidden, action_dim)
        self.shape = (num_tokens, dim)
        self.max_gap = max_gap
        self.detach = detach
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"inverse": scalar}: the mean squared error over real actions between real frames.

        Raises:
            ValueError: fewer than two frames of context, or fewer actions than lie between them.
        """
        z = prediction.context.detach() if self.detach else prediction.context
        steps = z.shape[1] - 1
        if steps < 1 or batch["action"].shape[1] < steps:
            raise ValueError(
                f"inverse dynamics needs at least 2 frames of context and the actions between them, got {steps + 1} "
                f"frames and {batch['action'].shape[1]} actions"
            )
        valid = frame_valid(batch, steps + 1)
        z = z if valid is None else blank(z, valid[..., None].expand(z.shape[:3]))
        acted = batch.get("action_valid", None)
        acted = torch.ones_like(batch["action"][:, :steps, 0], dtype=torch.bool) if acted is None else acted[:, :steps]
        action = blank(batch["action"][:, :steps], acted)
        errors, keeps = [], []
        for gap in range(1, min(self.max_gap, steps) + 1):
            count = steps + 1 - gap
            found = self.between(z[:, :count], z[:, gap:])
            errors.append((widen(found) - action[:, :count]).square().mean(-1))
            keeps.append(_unbroken(acted, valid, gap))
        return prefixed(self.name, {"inverse": masked_mean(torch.cat(errors, 1), torch.cat(keeps, 1))})

    def between(self, z: Float[Tensor, "b t n d"], later: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t a"]:
        """Actions that lead from ``z`` to, or on the way to, ``later``.

        Raises:
            ValueError: latents of another size.
        """
        if tuple(z.shape[2:]) != self.shape or z.shape != later.shape:
            raise ValueError(
                f"expected two latents of {self.shape[0]} x {self.shape[1]}, got {tuple(z.shape)} and "
                f"{tuple(later.shape)}"
            )
        return self.net(torch.cat([z.flatten(2), later.flatten(2)], dim=-1))

    def actions(self, z: Float[Tensor, "b frames n d"]) -> Float[Tensor, "b steps a"]:
        """Actions between consecutive latents: T + 1 of them to T. A plan from z[:, 0] to z[:, 1] is a planner's."""
        return self.between(z[:, :-1], z[:, 1:])


def _unbroken(acted: Bool[Tensor, "b t"], valid: Bool[Tensor, "b frames"] | None, gap: int) -> Bool[Tensor, "b pairs"]:
    """Where the actions from a frame to that ``gap`` frames later are all real, and the frames too."""
    keep = acted.unfold(1, gap, 1).all(-1)
    return keep if valid is None else keep & valid.unfold(1, gap + 1, 1).all(-1)


class TimeSimilarity(nn.Module):
    """Mean squared distance of consecutive latents: smooth trajectories (PLDM's and EB-JEPA's temporal similarity).

    Args:
        of: which latents: "context", "predicted" or "target".
        name: prefix of the scalar's name.
    """

    def __init__(self, of: Source = "context", *, name: str = ""):
        super().__init__()
        check_choice("of", of, Source)
        self.of: Source = of
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"time_similarity": scalar}.

        Raises:
            ValueError: fewer than two frames.
        """
        z, keep = latents_of(prediction, batch, self.of)
        if z.shape[1] < 2:
            raise ValueError(f"time similarity needs at least 2 frames of {self.of} latents, got {z.shape[1]}")
        z = widen(blank(z, keep))
        distance = (z[:, 1:] - z[:, :-1]).square().mean(-1)
        return prefixed(self.name, {"time_similarity": masked_mean(distance, keep[:, 1:] & keep[:, :-1])})
