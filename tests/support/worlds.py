"""A small world whose future is known in closed form, and untrained world models of it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldjepa.data import Episode, RobomimicWriter, Store, open_store
from worldjepa.learner import Learner
from worldjepa.recipes import ac_jepa, fit_statistics, make_learner
from worldjepa.types import DataSpec, ObsSpec

SIDE = 16


def write_world(path: Path, *, num_episodes: int = 12, steps: int = 40, images: bool = False) -> Store:
    """A point in the square [-1, 1] that moves by a tenth of its action: p' = p + a / 10; seen as a bright dot."""
    rng = np.random.default_rng(0)
    obs = {"p": ObsSpec((2,), "float32")} | ({"image": ObsSpec((SIDE, SIDE, 3), "uint8")} if images else {})
    spec = DataSpec(obs, 2, (-1.0, -1.0), (1.0, 1.0), fps=10.0)
    with RobomimicWriter(path, spec) as writer:
        for i in range(num_episodes):
            p, actions = [rng.uniform(-0.8, 0.8, 2)], []
            while len(actions) < steps:
                aim = rng.uniform(-1, 1, 2)
                for _ in range(4):
                    actions.append(np.clip(10 * (np.clip(p[-1] + 0.1 * aim, -0.9, 0.9) - p[-1]), -1, 1))
                    p.append(p[-1] + actions[-1] / 10)
            seen: dict[str, Any] = {"p": np.array(p[: steps + 1], np.float32)}
            if images:
                seen["image"] = draw(seen["p"])
            acted = np.array(actions[:steps], np.float32)
            writer.append(Episode(seen, acted, None, None, None, None, None, f"demo_{i}"))
    return open_store(path)


def draw(p: np.ndarray) -> np.ndarray:
    """Pictures [T, 16, 16, 3] uint8 of the point at ``p`` [T, 2]: a dot of soft edge on a dark ground."""
    grid = np.linspace(-1, 1, SIDE)
    away = np.square(grid[None, None] - p[:, 0, None, None]) + np.square(grid[None, :, None] - p[:, 1, None, None])
    dot = 30 + 200 * np.exp(-away / 0.05)
    return np.repeat(dot[..., None], 3, axis=-1).astype(np.uint8)


def world_model(store: Store, **changes: Any) -> Learner:
    """An untrained world model of it, in eval mode; of its images where it has any."""
    options: dict[str, Any] = {"dim": 16, "state_dim": 16, "state_hidden": 16, "trunk_width": 4}
    options |= {"predictor_layers": 1, "ffn_dim": 32}
    options |= {"stride": 2, "horizon": 4, "sigreg": 0.1, "inverse": 1.0, "sigreg_slices": 16}
    if "image" in store.spec.obs:
        options["image_keys"] = ("image",)
    config = ac_jepa.Config(**{**options, **changes})
    torch.manual_seed(0)
    return make_learner("ac_jepa", config, store.spec, fit_statistics(config, store, range(9))).eval()
