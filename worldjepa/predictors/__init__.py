"""Predictors: context latents and a query to target latents."""

from worldjepa.predictors.aggregate import AggregatePredictor
from worldjepa.predictors.causal import CausalPredictor
from worldjepa.predictors.concat import ConcatPredictor
from worldjepa.predictors.gru import LatentGRU
from worldjepa.predictors.queries import QueryPredictor
from worldjepa.predictors.recurrent import RecurrentPredictor

__all__ = [
    "AggregatePredictor",
    "CausalPredictor",
    "ConcatPredictor",
    "LatentGRU",
    "QueryPredictor",
    "RecurrentPredictor",
]
