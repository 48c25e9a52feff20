"""A policy from a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from worldjepa.plan import CEM, Planner
from worldjepa.recipes import from_pretrained
from worldjepa_policies.chunk import ChunkPolicy
from worldjepa_policies.mpc import MPCPolicy

WORLD_MODELS = frozenset({"ac_jepa"})
"""Recipes that are planned with; the others have an action head."""
OF_VIEWS = frozenset({"seq_jepa", "view_pairs"})
"""Recipes that learn features of views, and have neither."""


def load_policy(
    source: str | Path,
    *,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    planner: Planner | None = None,
    device: str | torch.device = "cpu",
    features: nn.Module | None = None,
    **planning: Any,
) -> ChunkPolicy | MPCPolicy:
    """The policy of a model folder, run folder, or hub name: `MPCPolicy` for a world model, else `ChunkPolicy`.

    Args:
        source: see `from_pretrained`.
        n_action_steps, temporal_ensemble: of a `ChunkPolicy`.
        planner: of an `MPCPolicy`; None: `CEM` with its defaults.
        device: where the model runs.
        features: the frozen encoder of a model with ``trunk="features"``; its weights are those of the checkpoint.
        planning: further options of `MPCPolicy`. Without ``horizon``, 5 blocks or as many as the model can imagine.

    Raises:
        ValueError: no such checkpoint, one of a recipe that acts on nothing, or options of the other kind of policy.
    """
    parts: dict[str, Any] = {} if features is None else {"features": features}
    learner = from_pretrained(source, **parts)
    if learner.origin.recipe in OF_VIEWS:
        raise ValueError(
            f"{source} is of recipe {learner.origin.recipe!r}, whose features of views neither act nor imagine: "
            f"measure them with worldjepa evaluate {source} --suite equivariance"
        )
    if learner.origin.recipe in WORLD_MODELS:
        chunk = {"n_action_steps": n_action_steps, "temporal_ensemble": temporal_ensemble}
        _refuse({k for k, v in chunk.items() if v is not None}, "world models are planned with")
        from worldjepa.evaluate.world_model import planning_horizon  # slow to import, and of no use to other recipes

        planning["horizon"] = planning_horizon(learner, planning.get("horizon"))
        return MPCPolicy(learner, planner or CEM(), device=device, **planning)
    given = set(planning) | ({"planner"} if planner is not None else set())
    _refuse(given, f"recipe {learner.origin.recipe!r} has an action head and is not planned with")
    return ChunkPolicy(learner, n_action_steps=n_action_steps, temporal_ensemble=temporal_ensemble, device=device)


def _refuse(options: set[str], why: str) -> None:
    if options:
        raise ValueError(f"{why}: leave out {sorted(options)}")
