"""Retrieval of views by predicted embeddings (the protocol of SIE, arXiv 2302.10283, section 5): MRR, H@k and PRE.

Letters: n predictions, v candidate views of an object, d width of an embedding.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

BLOCK = 1024
"""Predictions compared with the whole set at a time."""


def ranks(
    predicted: Float[ndarray, "n d"], candidates: Float[ndarray, "n v d"], answer: Int[ndarray, "n"]
) -> Float[ndarray, "n"]:
    """Place of the right view when the candidates are sorted by cosine to the prediction; 1 is best.

    Candidates as near as the right one share the places among them (its rank is their mean), so that embeddings that
    have collapsed score as chance does and not as perfect.

    Args:
        predicted: what the predictor says of a view.
        candidates: embeddings of the views of the same object.
        answer: which of them is the right one, 0 <= answer < v.

    Raises:
        ValueError: answers out of range.
    """
    if len(answer) and not (answer.min() >= 0 and answer.max() < candidates.shape[1]):
        raise ValueError(f"answers must lie in 0..{candidates.shape[1] - 1}, got {answer.min()} to {answer.max()}")
    similar = np.einsum("nd,nvd->nv", _unit(predicted), _unit(candidates))
    right = np.take_along_axis(similar, answer[:, None], 1)
    tied = np.isclose(similar, right, rtol=0, atol=1e-12)
    nearer = (similar > right) & ~tied
    return 1 + nearer.sum(1) + (tied.sum(1) - 1) / 2


def mean_reciprocal_rank(rank: Float[ndarray, "n"]) -> float:
    """MRR, in (0, 1]."""
    return float(np.mean(1 / rank))


def hit_rate(rank: Float[ndarray, "n"], k: int) -> float:
    """H@k: share of predictions whose right view is among the k nearest."""
    if k < 1:
        raise ValueError(f"H@k needs k >= 1, got {k}")
    return float(np.mean(rank <= k))


def chance(num_views: int, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """Expected scores of a prediction that knows nothing, among ``num_views`` candidates."""
    places = np.arange(1, num_views + 1)
    return {"mrr": float(np.mean(1 / places)), **{f"hit@{k}": min(1.0, k / num_views) for k in ks}}


def nearest(predicted: Float[ndarray, "n d"], everything: Float[ndarray, "m d"]) -> Int[ndarray, "n"]:
    """Index of the embedding of the whole set with the largest cosine to each prediction."""
    if not len(everything):
        raise ValueError("the set to retrieve from is empty")
    every = _unit(everything)
    parts = [_unit(predicted[i : i + BLOCK]) @ every.T for i in range(0, len(predicted), BLOCK)]
    return np.concatenate([part.argmax(1) for part in parts] or [np.zeros(0, np.int64)])


def rotation_errors(
    predicted: Float[ndarray, "n d"],
    everything: Float[ndarray, "m d"],
    rotation: Float[ndarray, "m 4"],
    answer: Float[ndarray, "n 4"],
) -> Float[ndarray, "n"]:
    """1 - <q, q_nn>^2 of each prediction; their mean is PRE. 0: the view retrieved is rotated as the right one is.

    Args:
        predicted: what the predictor says of views.
        everything: embeddings of all views of all objects.
        rotation: their unit quaternions.
        answer: unit quaternions of the right views.
    """
    found = rotation[nearest(predicted, everything)]
    return 1 - np.square(np.sum(found * answer, axis=1))


def _unit(x: ndarray) -> ndarray:
    """Rows scaled to length one, float64; rows of zeros stay."""
    x = np.asarray(x, np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
