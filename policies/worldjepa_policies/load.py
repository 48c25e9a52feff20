"""A policy from a checkpoint."""

from pathlib import Path

import torch

from worldjepa.recipes import from_pretrained
from worldjepa_policies.chunk import ChunkPolicy


def load_policy(
    source: str | Path,
    *,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    device: str | torch.device = "cpu",
) -> ChunkPolicy:
    """The policy of a model folder, a run folder, or a hub name; options as in `ChunkPolicy`.

    Raises:
        ValueError: no such checkpoint, or its recipe has no action head.
    """
    learner = from_pretrained(source)
    return ChunkPolicy(learner, n_action_steps=n_action_steps, temporal_ensemble=temporal_ensemble, device=device)
