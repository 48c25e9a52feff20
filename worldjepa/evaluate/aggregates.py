"""What a frozen model makes of sequences of views that are encoded already: aggregates, embedded actions, predictions.

Letters: n sequences, k views, m = k - 1 observed ones, c width of a latent, w width of the aggregate, e of an embedded
action.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.evaluate.view_features import Sequences
from worldjepa.learner import Learner
from worldjepa.predictors import AggregatePredictor

ONLINE = "encoder"
"""Name in a table of the features of the learner's own encoder."""
CHUNK = 2048


@dataclass(frozen=True)
class Blinded:
    """What is taken from a model before it aggregates."""

    actions: bool = False
    """Embeddings of all actions are zeros."""
    views: bool = False
    """Latents of all views are zeros."""


SEEING = Blinded()


def aggregates(learner: Learner) -> bool:
    """Whether a model makes one vector of several views."""
    return isinstance(learner.model.predictor, AggregatePredictor)


def told_actions(learner: Learner) -> bool:
    """Whether its predictor is told the actions, and says of another view what an action makes of the first."""
    predictor: Any = learner.model.predictor
    if isinstance(predictor, AggregatePredictor):
        return predictor.condition_predictor
    return hasattr(predictor, "transform")


@torch.no_grad()
def aggregate(learner: Learner, sequences: Sequences, observed: int, blinded: Blinded = SEEING) -> Float[Tensor, "n w"]:
    """z_AGG of the first views of sequences.

    Args:
        learner: a seq-JEPA, in eval mode.
        sequences: of ``observed`` views or more; with one more, the aggregator is shown the action to it too, which
            it must not read.
        observed: M.
        blinded: what is zeroed.

    Raises:
        ValueError: the model aggregates nothing.
    """
    predictor = _aggregator(learner)
    parts = []
    for z, action in _inputs(learner, sequences, observed):
        z = torch.zeros_like(z) if blinded.views else z
        parts.append(predictor.aggregate(z, None if blinded.actions else action).cpu())
    return torch.cat(parts)


@torch.no_grad()
def embedded_action(
    learner: Learner, sequences: Sequences, index: int, blinded: Blinded = SEEING
) -> Float[Tensor, "n e"]:
    """e(a_i) of the action after view ``index`` (from 0) of each sequence.

    Raises:
        ValueError: the model is told no actions.
    """
    predictor = _aggregator(learner)
    action = _told(learner, sequences)[:, index]
    parts = [predictor.embed(some.to(_device(learner))).cpu() for some in action.split(CHUNK)]
    found = torch.cat(parts)
    return torch.zeros_like(found) if blinded.actions else found


@torch.no_grad()
def predicted(learner: Learner, sequences: Sequences, observed: int) -> Float[Tensor, "n d"]:
    """What a model says of the view after the first ``observed`` ones: only what actions change, where it tells.

    Raises:
        ValueError: the predictor is told no actions, or reads fewer views.
    """
    predictor: Any = learner.model.predictor
    if not told_actions(learner):
        raise ValueError("retrieval needs a predictor that is told the action to the view: this one is told none")
    if not aggregates(learner) and observed != 1:
        raise ValueError(f"{type(predictor).__name__} predicts from one view, {observed} were given")
    parts = []
    for z, action in _inputs(learner, sequences, observed):
        said = predictor(z, TensorDict({"action": action}, batch_size=[len(z)]))
        parts.append(said[:, -1, 0, compared(learner)].cpu())
    return torch.cat(parts)


def compared(learner: Learner) -> slice:
    """Features of a prediction that actions change: all, but for methods that keep an invariant part beside."""
    return getattr(learner.model.predictor, "equivariant", slice(None))


def _inputs(learner: Learner, sequences: Sequences, observed: int):
    """Latents [n, M, 1, C] and actions in the model's units, some sequences at a time."""
    z, action = sequences.features(ONLINE)[:, :observed, None], _told(learner, sequences)[:, :observed]
    device = _device(learner)
    return zip((x.to(device) for x in z.split(CHUNK)), (x.to(device) for x in action.split(CHUNK)), strict=True)


def _told(learner: Learner, sequences: Sequences) -> Float[Tensor, "n m a"]:
    """Actions between the views in the model's units; after the last one zeros, which nothing may depend on."""
    pose = sequences.pose
    transformations = sequences.table.transformations
    told = transformations.told(pose) if pose.shape[1] > 1 else pose[:, :0, : transformations.num_told]
    if sequences.table.consecutive:
        device = _device(learner)
        told = learner.normalizer.normalize("action", told.to(device)).cpu()
    return torch.cat([told, told.new_zeros(len(told), 1, told.shape[2])], dim=1)


def _aggregator(learner: Learner) -> AggregatePredictor:
    predictor = learner.model.predictor
    if not isinstance(predictor, AggregatePredictor):
        raise ValueError(
            f"{learner.origin.recipe} makes no aggregate of several views: only recipe seq_jepa has one; "
            "compare with the mean of the views' features"
        )
    return predictor


def _device(learner: Learner) -> torch.device:
    return next(learner.parameters()).device
