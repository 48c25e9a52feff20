"""Predictors: context latents and a query to target latents."""

from worldjepa.predictors.causal import CausalPredictor
from worldjepa.predictors.queries import QueryPredictor
from worldjepa.predictors.recurrent import RecurrentPredictor

__all__ = ["CausalPredictor", "QueryPredictor", "RecurrentPredictor"]
