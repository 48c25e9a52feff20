"""Predictors: context latents and a query to target latents."""

from worldjepa.predictors.queries import QueryPredictor

__all__ = ["QueryPredictor"]
