"""What the commands about a trained run read: its recording, and windows of it for its models."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from tensordict import TensorDict
    from torch import Tensor

    from worldjepa.data import Store
    from worldjepa.evaluate.probe import ProbeWindows
    from worldjepa.learner import Learner

IMAGE_BYTES = 256_000_000
"""Of the images of the windows of one role that are held in memory."""


@dataclass(frozen=True)
class RunData:
    """The recording that a run learned from."""

    store: "Store"
    episodes: "dict[str, np.ndarray]"
    """Episode numbers by role: "train", "valid", "unlabelled"."""
    states: tuple[str, ...]
    """Observations that are predicted and probed."""

    def need_held_out(self) -> None:
        """Raise ValueError where nothing is held out."""
        if len(self.episodes["valid"]) == 0:
            raise ValueError("the run has no held-out episodes to be scored on: train with --episodes.valid above 0")


def open_run_data(run: Path, states: tuple[str, ...] = ()) -> RunData:
    """The data of a run.

    Args:
        run: the run folder.
        states: the states to predict; empty: all of the data's.

    Raises:
        ValueError: the recording is gone or is another one now, or it has no such states.
    """
    import numpy as np

    from worldjepa.commands.run_folder import read_config
    from worldjepa.data import open_store

    data = read_config(run)["data"]
    store = open_store(data["path"])
    if store.fingerprint != data["fingerprint"]:
        raise ValueError(f"{data['path']} has changed since {run} was trained on it; restore it, or train anew")
    known = tuple(k for k, v in store.spec.obs.items() if v.kind == "state")
    unknown = sorted(set(states) - set(known))
    if unknown or not known:
        raise ValueError(f"{data['path']} has no states {unknown or ''} to be predicted; it has {sorted(known)}")
    numbers = {name: i for i, name in enumerate(store.names)}
    roles = {role: np.array([numbers[x] for x in names], dtype=np.int64) for role, names in data["episodes"].items()}
    return RunData(store, roles, states or known)


def name_of(path: Path, beside: Path) -> str:
    """What to call a run beside another: its recipe, or its folder where both have the same."""
    from worldjepa.commands.run_folder import read_config

    recipe = str(read_config(path)["recipe"])
    return path.resolve().name if recipe == read_config(beside)["recipe"] else recipe


def features(learner: "Learner") -> "Callable[[TensorDict], Tensor]":
    """The latents of the frames that a learner reads, side by side: raw observations [n, Tc, ...] -> [n, F], on the
    CPU wherever the learner is."""
    from worldjepa.recipes import recipe

    origin, device = learner.origin, device_of(learner)
    window = recipe(origin.recipe).window(origin.config, origin.spec)
    paths = [tuple(key.split("/")) for key in window.keys]
    return lambda obs: learner.encode(obs.select(*paths)[:, -window.history :].to(device)).flatten(1).cpu()


def device_of(learner: "Learner") -> "torch.device":
    """Where a learner's weights are."""
    return next(learner.parameters()).device


def longest_episode(data: RunData) -> int:
    """Observations of the longest episode, of those that train or of those held out, whichever is shorter."""
    lengths = data.store.ends - data.store.starts
    return min(int(lengths[data.episodes[role]].max()) for role in ("train", "valid"))


def fresh_learner(learner: "Learner", data: RunData, seed: int) -> "Learner":
    """The same model with random weights, in eval mode, on the same device; a frozen encoder stays the one it is."""
    import torch

    from worldjepa.commands.frozen import frozen_trunk
    from worldjepa.recipes import fit_statistics, make_learner

    origin, device = learner.origin, device_of(learner)
    trunk = frozen_trunk(learner)
    parts = {} if trunk is None else {"features": trunk.cpu()}  # models are built on the CPU; it goes back below
    torch.manual_seed(seed)
    statistics = fit_statistics(origin.config, data.store, data.episodes["train"])
    return make_learner(origin.recipe, origin.config, origin.spec, statistics, **parts).to(device).eval()


def windows(
    learners: "list[Learner]", data: RunData, horizon: int, most: int | None = None, seed: int = 0
) -> "tuple[ProbeWindows, ProbeWindows]":
    """Windows of the training and of the held-out episodes, with all that any of the learners reads.

    Args:
        learners: whose frames must be equally far apart.
        data: of their run.
        horizon: steps ahead.
        most: windows of each role; None: 8000, or as many as have 256 MB of images.
        seed: of their choice.

    Raises:
        ValueError: learners of different strides or told goals, or no window as long as the horizon.
    """
    from worldjepa.evaluate.probe import probe_windows
    from worldjepa.recipes import recipe

    needed = [recipe(x.origin.recipe).window(x.origin.config, x.origin.spec) for x in learners]
    keys = tuple(dict.fromkeys(key for window in needed for key in window.keys))
    history = max(window.history for window in needed)
    strides = sorted({window.stride for window in needed})
    if len(strides) > 1:
        raise ValueError(f"these runs see frames {strides} steps apart, so they cannot be probed on the same windows")
    if any(window.goal_keys for window in needed):
        raise ValueError("an encoder that is told a goal cannot be probed for the state: name runs of other recipes")
    images = any(sees_future_images(x) for x in learners)
    train, test = (
        probe_windows(
            data.store,
            data.episodes[role],
            state_keys=data.states,
            keys=keys,
            history=history,
            horizon=horizon,
            stride=strides[0],
            images=images,
            max_windows=most or most_windows(data.store, keys, history + horizon if images else history),
            reference=data.episodes["train"],
            seed=seed,
        )
        for role in ("train", "valid")
    )
    return train, test


def sees_future_images(learner: "Learner") -> bool:
    """Whether imagining with it takes the images of the steps ahead."""
    from worldjepa.evaluate.latents import rolls_out_frames

    return learner.model.predictor is not None and rolls_out_frames(learner)


def most_windows(store: "Store", keys: tuple[str, ...], frames: int) -> int:
    """Windows whose images fit into memory, at most 8000 and at least 64."""
    images = [store.spec.obs[key] for key in keys if store.spec.obs[key].kind == "image"]
    size = frames * sum(math.prod(image.shape) for image in images)
    return 8000 if size == 0 else int(min(8000, max(64, IMAGE_BYTES // size)))
