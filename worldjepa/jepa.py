"""The one model: encoder, target and predictor joined by a view function. Read this file after types.py."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Generator, Tensor, nn

from worldjepa.targets import Shared, StopGradient
from worldjepa.types import Encoder, Prediction, Predictor, Target, ViewFunction, Views


class JEPA(nn.Module):
    """Predicts latents of what is hidden from latents of what is seen, told a query that joins them.

    All observations and actions here are in the model's units (normalised); `Learner` holds the normaliser.

    Args:
        views: splits a batch into context, target and query.
        encoder: context view -> [B, Tc, Nc, D].
        target: target view -> [B, Tt, Nt, Dt]; `EMATarget`, `StopGradient`, `Shared` or `Fixed`.
        predictor: context latents and query -> [B, Tt, Nt, Dt].

    ``target`` and ``predictor`` may both be None: the encoder alone, the baseline that latent prediction must beat.

    Raises:
        ValueError: only one of target and predictor is given.
    """

    def __init__(
        self, views: ViewFunction, encoder: Encoder, target: Target | None = None, predictor: Predictor | None = None
    ):
        super().__init__()
        if (target is None) != (predictor is None):
            raise ValueError("give both a target and a predictor, or neither")
        self.views = views
        self.encoder = encoder
        self.target = target
        self.predictor = predictor

    def forward(self, batch: TensorDict, generator: Generator | None = None) -> Prediction:
        """Encode the context, predict the target latents and encode the targets.

        Args:
            batch: see `worldjepa.types`; normalised.
            generator: source of randomness of the view function, on the batch's device.
        """
        views = self.views(batch, generator)
        context = self.encoder(views.context)
        if self.target is None or self.predictor is None:
            return Prediction(context, None, None, None)
        predicted = self.predictor(context, views.query)
        target = self._target(views, context)
        return Prediction(context, target, predicted, _weight(views, target))

    def _target(self, views: Views, context: Tensor) -> Float[Tensor, "b tt nt dt"]:
        """Encoded targets, taken from the context's latents where they are the same."""
        assert self.target is not None
        if views.within is not None and isinstance(self.target, Shared | StopGradient):
            same = self.target.reuse(self.encoder, context[:, views.within])
            if same is not None:
                return same
        return self.target(views.target)

    def encode(self, obs: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of normalised observations [B, T, ...]; the last frame is the present."""
        return self.encoder(obs)

    def rollout(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """Imagined latents of the H steps after the context under given actions.

        Args:
            z: context latents from `encode`, [B, Tc, N, D].
            action: normalised, [B, Tc - 1 + H, A]: first those between context frames, then H more. Or samples of them,
                [B, S, Tc - 1 + H, A], where the predictor can (`CausalPredictor`, `RecurrentPredictor`).

        Returns:
            [B, H, N, D], or [B, S, H, N, D].

        Raises:
            ValueError: the model has no predictor, or one that was not trained with actions.
        """
        rollout = getattr(self.predictor, "rollout", None)
        if rollout is None:
            raise ValueError(f"{type(self.predictor).__name__} cannot be rolled out: its predictions take no actions")
        return rollout(z, action)

    def fast_rollout(self) -> Callable[[Tensor, Tensor], Tensor]:
        """`rollout` for many calls without gradients, as of a plan: the same, sooner where the predictor can."""
        make = getattr(self.predictor, "fast_rollout", None)
        return self.rollout if make is None else make()

    def update_target(self, step: int) -> None:
        """Let the target follow the encoder; call after each optimiser step, counted from 0."""
        if self.target is not None:
            self.target.update(step)


def _weight(views: Views, target: Tensor) -> Float[Tensor, "b tt nt"]:
    """The query's weights where it has them; else 1 where the target is valid."""
    weight = views.query.get("weight", None)
    if weight is None:
        weight = target.new_ones(target.shape[:3])
    valid = views.target.get("valid", None)
    return weight if valid is None else torch.where(valid[..., None], weight, 0.0)
