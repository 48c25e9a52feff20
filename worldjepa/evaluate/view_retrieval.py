"""Retrieval of the view that an action leads to, by what a model predicts of it (SIE, arXiv 2302.10283, section 5)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from worldjepa.evaluate.aggregates import compared, predicted
from worldjepa.evaluate.object_scores import mean_score
from worldjepa.evaluate.retrieval import chance, ranks, rotation_errors
from worldjepa.evaluate.view_features import Sequences, ViewTable, draw_sequences
from worldjepa.learner import Learner

TARGET = "target"
"""Name in a table of what the target encoder says."""
HITS = (1, 5)
MOST = 1000
"""Predictions whose nearest view is sought in the whole set."""
BLOCK = 256


def view_retrieval(learner: Learner, table: ViewTable, observed: int, *, draws: int = 8, seed: int = 0) -> dict:
    """MRR, H@1 and H@5 within the views of an object, and PRE over the whole set, as JSON values with intervals.

    The prediction from ``observed`` views and the action to another one is compared with the target encodings of all
    views of the object. Beside it stands "copy": the encoding of the last view seen, as if nothing moved.

    Args:
        learner: told actions, in eval mode.
        table: held-out objects, with features "encoder" and "target".
        observed: M >= 1.
        draws: predictions for each object.
        seed: of their choice.

    Raises:
        ValueError: the model is told no actions, or the objects have fewer than M + 1 views.
    """
    sequences = draw_sequences(table, observed + 1, draws=draws, seed=seed)
    encoded = table.features[TARGET][..., compared(learner)]
    said = predicted(learner, sequences, observed)
    last = encoded[sequences.row, sequences.view[:, observed - 1]]
    group = sequences.group.numpy()
    found = {
        "model": _scores(said, encoded, sequences, group, seed),
        "copy": _scores(last, encoded, sequences, group, seed),
    }
    found["chance"] = chance(table.num_views, HITS)
    if table.transformations.has_rotation:
        for name, x in (("model", said), ("copy", last)):
            found[name]["pre"] = _rotation_error(x, encoded, sequences, group, seed)
    return {"num_views": table.num_views, **found}


def _scores(said: Tensor, encoded: Tensor, sequences: Sequences, group: ndarray, seed: int) -> dict[str, Any]:
    answer, rank = sequences.view[:, -1], []
    for rows in torch.arange(len(said)).split(BLOCK):
        candidates = encoded[sequences.row[rows]].numpy()
        rank.append(ranks(said[rows].numpy(), candidates, answer[rows].numpy()))
    rank = np.concatenate(rank)
    scores = {"mrr": 1 / rank, **{f"hit@{k}": (rank <= k).astype(np.float64) for k in HITS}}
    return {name: vars(mean_score(values, group, seed)) for name, values in scores.items()}


def _rotation_error(
    said: Float[Tensor, "n d"], encoded: Tensor, sequences: Sequences, group: ndarray, seed: int
) -> dict[str, Any]:
    """PRE of at most so many predictions, spread evenly."""
    chosen = np.unique(np.linspace(0, len(said) - 1, min(MOST, len(said))).round().astype(np.int64))
    rotation = sequences.table.pose[..., :4].flatten(0, 1).numpy()
    right = sequences.pose[chosen, -1, :4].numpy()
    errors = rotation_errors(said[chosen].numpy(), encoded.flatten(0, 1).numpy(), rotation, right)
    return vars(mean_score(errors, group[chosen], seed))
