"""Several predictors of the same latents: where they disagree, the world model does not know (arXiv 2005.05960)."""

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.distance import DISTANCES, Distance
from worldjepa.objectives.reduce import blank, masked_mean
from worldjepa.types import Prediction


class Ensemble(nn.Module):
    """Extra predictors, trained on detached latents beside the model's own: they measure and shape nothing.

    They differ by their initial weights; give them different ones. Needs views whose context is all frames and whose
    target is frames 1 to T (`views.TransitionViews`).

    Args:
        predictors: at least 2, as the model's: (z [B, >=T, N, D], query) -> [B, T, N, D], with ``rollout``.
        kind: of `LatentDistance`.
        name: prefix of the scalar's name.

    Raises:
        ValueError: fewer than two predictors, one that is there twice, an unknown ``kind``.
    """

    def __init__(self, predictors: Sequence[nn.Module], kind: Distance = "l2", *, name: str = ""):
        super().__init__()
        if len({id(predictor) for predictor in predictors}) != len(predictors) or len(predictors) < 2:
            raise ValueError(f"an ensemble needs at least 2 predictors, each of its own, got {len(predictors)}")
        if kind not in DISTANCES:
            raise ValueError(f"kind must be one of {sorted(DISTANCES)}, got {kind!r}")
        self.predictors = nn.ModuleList(predictors)
        self.kind = kind
        self.name = name

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"ensemble": scalar}: the predictors' mean distance to the targets, one step ahead.

        Raises:
            ValueError: the model has no target.
        """
        if prediction.target is None:
            raise ValueError("an ensemble needs a model with a predictor and a target; this one has none")
        steps, weight = prediction.target.shape[1], prediction.weight
        z, action = prediction.context.detach()[:, :steps], batch["action"][:, :steps]
        target = prediction.target.detach()
        if weight is not None:
            acted = (weight > 0).any(2)
            z, action = blank(z, acted[..., None].expand(z.shape[:3])), blank(action, acted)
            target = blank(target, weight)
        query = TensorDict({"action": action}, batch_size=[len(action)])
        errors = [DISTANCES[self.kind](predictor(z, query), target) for predictor in self.predictors]
        weights = None if weight is None else weight.expand(len(errors), *weight.shape)
        return prefixed(self.name, {"ensemble": masked_mean(torch.stack(errors), weights)})

    @torch.no_grad()
    def disagreement(self, z: Tensor, action: Tensor) -> Tensor:
        """Standard deviation over the predictors' rollouts, the mean over tokens and features, a step.

        Args:
            z: context latents [B, Tc, N, D].
            action: normalised, [B, Tc-1+H, A], or with samples [B, S, Tc-1+H, A].

        Returns:
            [B, H] or [B, S, H]; in the units of the latents, 0 where all agree.
        """
        rollouts = [predictor.rollout(z, action) for predictor in self.predictors]  # pyright: ignore[reportCallIssue]
        return torch.stack(rollouts).std(dim=0, correction=0).mean((-2, -1))
