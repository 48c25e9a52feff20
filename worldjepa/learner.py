"""What is trained, saved and deployed as one: normaliser, model and objective."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.collapse import effective_rank, feature_std, least_feature_std
from worldjepa.jepa import JEPA
from worldjepa.normalize import Normalizer
from worldjepa.objectives import ActionChunk, Sum, copy_ratio
from worldjepa.types import DataSpec


@dataclass(frozen=True)
class Origin:
    """From what a learner was built: enough to build it again."""

    recipe: str
    """Name in the recipe table."""
    config: Any
    """The recipe's frozen Config."""
    spec: DataSpec
    """The data it was built for."""


class Learner(nn.Module):
    """Normaliser, model and objective. Its inputs and outputs are in raw units.

    Args:
        normalizer: statistics of the training episodes.
        model: works in normalised units.
        objective: the weighted loss; owns action heads.
        origin: recipe, configuration and data specification.
    """

    def __init__(self, normalizer: Normalizer, model: JEPA, objective: Sum, origin: Origin):
        super().__init__()
        self.normalizer = normalizer
        self.model = model
        self.objective = objective
        self.origin = origin

    def forward(self, batch: TensorDict) -> dict[str, Tensor]:
        """Losses of a batch in raw units: every term's scalars and "loss"."""
        batch = self.normalizer(batch)
        return self.objective(self.model(batch), batch)

    def update_target(self, step: int) -> None:
        """Call after each optimiser step, counted from 0."""
        self.model.update_target(step)

    def encode(self, obs: TensorDict) -> Float[Tensor, "b t n d"]:
        """Context latents of raw observations [B, Tc, ...]."""
        return self.model.encode(self.normalizer.observations(obs))

    def actions(self, obs: TensorDict) -> Float[Tensor, "b chunk a"]:
        """The action chunk for raw observations [B, Tc, ...], in raw units, clipped to the bounds where known.

        Raises:
            ValueError: the objective has no action head.
        """
        action = self.objective.term(ActionChunk).head(self.encode(obs))
        action = self.normalizer.denormalize_action(action, obs)
        spec = self.origin.spec
        if spec.action_low is not None and spec.action_high is not None:
            action = action.clamp(action.new_tensor(spec.action_low), action.new_tensor(spec.action_high))
        return action

    def rollout(self, obs: TensorDict, action: Float[Tensor, "b t a"]) -> Float[Tensor, "b h n d"]:
        """Imagined latents under raw actions [B, Tc - 1 + H, A], from raw observations [B, Tc, ...]."""
        return self.model.rollout(self.encode(obs), self.normalizer.normalize_action(action, obs))

    @torch.no_grad()
    def diagnostics(self, batch: TensorDict) -> dict[str, float]:
        """Collapse monitor on one batch: spread (mean and least of the features) and effective rank of the latents.

        Also the error relative to copying, but only where targets are time steps, of which the first can be copied
        (`ViewFunction`).
        """
        training = self.training
        self.eval()
        prediction = self.model(self.normalizer(batch))
        self.train(training)
        rows = prediction.context.mean(2).flatten(0, 1)
        values = _collapse(rows)
        if prediction.target is not None:
            rows = prediction.target.flatten(0, 2)[: 4 * prediction.target.shape[-1]]
            values |= _collapse(rows, "target_")
            if prediction.target.shape[1] > 1 and getattr(self.model.views, "in_time", False):
                values["collapse/copy_ratio"] = copy_ratio(prediction)
        return {name: float(value) for name, value in values.items()}


def _collapse(rows: Float[Tensor, "n d"], prefix: str = "") -> dict[str, Tensor]:
    """What the monitor logs of some latents."""
    found = {"std": feature_std(rows), "std_min": least_feature_std(rows), "rank": effective_rank(rows)}
    return {f"collapse/{prefix}{name}": value for name, value in found.items()}
