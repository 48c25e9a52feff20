"""``worldjepa imagine``: what a trained encoder knows of the future, and what its predictor makes of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    import numpy as np
    from tensordict import TensorDict
    from torch import Tensor

    from worldjepa.data import Store
    from worldjepa.evaluate.probe import ProbeRow, ProbeWindows
    from worldjepa.learner import Learner


IMAGE_BYTES = 256_000_000
"""Of the images of the windows of one role that are held in memory."""


@dataclass(frozen=True)
class Options:
    """Writes RUN/probe.json, and RUN/imagination.json where the model predicts latents."""

    run: Positional[Path]
    """Run folder, as worldjepa train makes it."""
    others: Positional[tuple[Path, ...]] = ()
    """Runs on the same data whose encoders are probed beside it."""
    horizon: int | None = None
    """Steps ahead (of a world model: blocks of actions); by default the model's own horizon (16 if it has none)."""
    state_keys: tuple[str, ...] = ()
    """States to predict; empty: all of the data's."""
    probe: Literal["linear", "mlp"] = "linear"
    """What reads the states from the frozen latents: ridge regression or a perceptron."""
    max_windows: int | None = None
    """At most so many windows, for fitting and for scoring; by default 8000, or as many as hold 256 MB of images."""
    starts: int = 6
    """Imagined trajectories kept for the report."""
    seed: int = 0
    """Of the choice of windows, the perceptron and the intervals."""


def run(options: Options) -> int:
    """Probe and imagine; print the tables."""
    from worldjepa.commands.console import make_console
    from worldjepa.recipes import from_pretrained

    console = make_console()
    learner = from_pretrained(options.run)
    store, episodes = open_run_data(options.run)
    states = options.state_keys or tuple(k for k, v in store.spec.obs.items() if v.kind == "state")
    horizon = options.horizon or getattr(learner.origin.config, "horizon", 16)
    others = {name_of(path, options.run): from_pretrained(path) for path in options.others}
    with console.status(f"probing the states of {horizon} steps"):
        rows = probe(learner, others, store, episodes, states, horizon, options)
    _write(options.run / "probe.json", _probe_json(rows, horizon))
    console.print(f"state {', '.join(states)}, {horizon} steps ahead, in standard deviations of the training states")
    console.print(_table(rows))
    if learner.model.predictor is None:
        console.print(
            f"{learner.origin.recipe} has no predictor, so there is nothing to imagine: {options.run}/probe.json"
        )
        return 0
    with console.status("imagining"):
        found = imagine_run(learner, store, episodes, states, horizon, options)
    _write(options.run / "imagination.json", found)
    how = (
        "under the recorded actions" if found["steered"] else "under the demonstrated behaviour (it is told no actions)"
    )
    console.print(
        f"\nimagined {how}: RMSE {found['rmse']:.3f}; copying the present {found['copy_rmse']:.3f}; "
        f"a linear model {found['linear_rmse']:.3f}; the decoder alone {found['decoder_rmse']:.3f}; "
        f"{found['num_windows']} held-out starts"
    )
    console.print(f"{options.run}/probe.json, {options.run}/imagination.json")
    return 0


def open_run_data(run: Path) -> "tuple[Store, dict[str, np.ndarray]]":
    """The data of a run, and the numbers of its episodes by role.

    Raises:
        ValueError: the recording is gone or is another one now.
    """
    import numpy as np

    from worldjepa.commands.run_folder import read_config
    from worldjepa.data import open_store

    data = read_config(run)["data"]
    store = open_store(data["path"])
    if store.fingerprint != data["fingerprint"]:
        raise ValueError(f"{data['path']} has changed since {run} was trained on it; restore it, or train anew")
    numbers = {name: i for i, name in enumerate(store.names)}
    return store, {
        role: np.array([numbers[x] for x in names], dtype=np.int64) for role, names in data["episodes"].items()
    }


def name_of(path: Path, beside: Path) -> str:
    """What to call a run beside another: its recipe, or its folder where both have the same."""
    from worldjepa.commands.run_folder import read_config

    recipe = str(read_config(path)["recipe"])
    return path.resolve().name if recipe == read_config(beside)["recipe"] else recipe


def features(learner: "Learner") -> "Callable[[TensorDict], Tensor]":
    """The latents of the frames that a learner reads, side by side: raw observations [n, Tc, ...] -> [n, F]."""
    from worldjepa.recipes import recipe

    origin = learner.origin
    window = recipe(origin.recipe).window(origin.config, origin.spec)
    paths = [tuple(key.split("/")) for key in window.keys]
    return lambda obs: learner.encode(obs.select(*paths)[:, -window.history :]).flatten(1)


def probe(
    learner: "Learner",
    others: "dict[str, Learner]",
    store: "Store",
    episodes: "dict[str, np.ndarray]",
    states: tuple[str, ...],
    horizon: int,
    options: Options,
) -> "list[ProbeRow]":
    """A row for each encoder and for the floors: random weights, the raw states, copying.

    Raises:
        ValueError: no held-out episodes, or none as long as the horizon.
    """
    import torch

    from worldjepa.evaluate.probe import raw_features, state_probe
    from worldjepa.recipes import fit_statistics, make_learner

    if len(episodes["valid"]) == 0:
        raise ValueError("the run has no held-out episodes to be scored on: train with --episodes.valid above 0")
    origin = learner.origin
    torch.manual_seed(options.seed)
    statistics = fit_statistics(origin.config, store, episodes["train"])
    fresh = make_learner(origin.recipe, origin.config, origin.spec, statistics).eval()
    learners = {origin.recipe: learner, **others, "random init": fresh}
    train, test = windows(list(learners.values()), store, episodes, states, horizon, options)
    models = {name: features(x) for name, x in learners.items()}
    if any(train.obs[key].dtype != torch.uint8 for key in train.obs.keys(True, True)):
        models["raw state linear"] = raw_features
    return state_probe(models, train, test, kind=options.probe, seed=options.seed)


def windows(
    learners: "list[Learner]",
    store: "Store",
    episodes: "dict[str, np.ndarray]",
    states: tuple[str, ...],
    horizon: int,
    options: Options,
) -> "tuple[ProbeWindows, ProbeWindows]":
    """Windows of the training and of the held-out episodes, with all that any of the learners reads.

    Raises:
        ValueError: learners whose frames are not equally far apart.
    """
    from worldjepa.evaluate.probe import probe_windows
    from worldjepa.recipes import recipe

    needed = [recipe(x.origin.recipe).window(x.origin.config, x.origin.spec) for x in learners]
    keys = tuple(dict.fromkeys(key for window in needed for key in window.keys))
    history = max(window.history for window in needed)
    strides = sorted({window.stride for window in needed})
    if len(strides) > 1:
        raise ValueError(f"these runs see frames {strides} steps apart, so they cannot be probed on the same windows")
    images = any(sees_future_images(x) for x in learners)
    limit = options.max_windows or most_windows(store, keys, history + horizon if images else history)
    train, test = (
        probe_windows(
            store,
            episodes[role],
            state_keys=states,
            keys=keys,
            history=history,
            horizon=horizon,
            stride=strides[0],
            images=images,
            max_windows=limit,
            reference=episodes["train"],
            seed=options.seed,
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
    import math

    images = [store.spec.obs[key] for key in keys if store.spec.obs[key].kind == "image"]
    size = frames * sum(math.prod(image.shape) for image in images)
    return 8000 if size == 0 else int(min(8000, max(64, IMAGE_BYTES // size)))


def imagine_run(
    learner: "Learner",
    store: "Store",
    episodes: "dict[str, np.ndarray]",
    states: tuple[str, ...],
    horizon: int,
    options: Options,
) -> dict[str, Any]:
    """What imagination.json holds."""
    from worldjepa.evaluate.imagine import imagination_report, imagine, state_names

    train, test = windows([learner], store, episodes, states, horizon, options)
    found = imagine(learner, train, test)
    return imagination_report(found, test, state_names(test, states), num_starts=options.starts)


def _probe_json(rows: "list[ProbeRow]", horizon: int) -> dict[str, Any]:
    from worldjepa.evaluate.probe import probe_report

    return probe_report(rows, horizon)


def _table(rows: "list[ProbeRow]"):
    from worldjepa.commands.console import plain_table

    table = plain_table("encoder", "RMSE", "95 % interval", "ATE", "95 % interval")
    for row in rows:
        rmse, ate = f"[{row.rmse_low:.3f}, {row.rmse_high:.3f}]", f"[{row.ate_low:.3f}, {row.ate_high:.3f}]"
        table.add_row(row.model, f"{row.rmse:.3f}", rmse, f"{row.ate:.3f}", ate)
    return table


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
