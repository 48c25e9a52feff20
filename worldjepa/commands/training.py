"""From data and settings to a trained run folder: the sentences behind ``worldjepa train``."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import nn

from worldjepa.commands.frozen import RECORDED, check_named, load_features
from worldjepa.commands.run_folder import DataChoice, data_section, read_config, settings, versions, write_config
from worldjepa.commands.train import Options, Selection
from worldjepa.data import Store, ViewSampler, WindowSampler, open_store, split_episodes
from worldjepa.data.goals import GoalSampler
from worldjepa.learner import Learner
from worldjepa.recipes import fit_statistics, make_learner, recipe, save_pretrained
from worldjepa.recipes.keys import Window
from worldjepa.train import FitResult, fit

MAX_VALID_WINDOWS = 1024
"""Held-out windows whose loss is logged."""


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    run: Path
    learner: Learner
    fit: FitResult


def run_training(options: Options, *, out: Path, command: list[str]) -> Trained:
    """Open the data, build the learner, write config.json, and fit.

    Args:
        options: what to train, on what, how.
        out: run folder.
        command: the command line, for the record.

    Raises:
        ValueError: the data or the settings cannot be used, ``out`` holds another run.
        OSError: the disk is full.
    """
    main = int(os.environ.get("RANK", "0")) == 0
    options = replace(options, model=with_momentum_steps(options.model, options.fit.steps))
    if main and not options.resume:
        check_is_new(out)
    torch.manual_seed(options.fit.seed)
    parts = frozen_parts(options)
    store = open_data(options.data, main)
    episodes = choose_episodes(store, options.episodes)
    window = recipe(options.recipe).window(options.model, store.spec)
    statistics = fit_statistics(options.model, store, np.concatenate([episodes["train"], episodes["unlabelled"]]))
    statistics["action"] = fit_statistics(options.model, store, episodes["train"])["action"]
    torch.manual_seed(options.fit.seed)
    learner = make_learner(options.recipe, options.model, store.spec, statistics, **parts)
    sampler = make_sampler(store, episodes, window, options)
    if main:
        content = run_config(options, store, episodes, command)
        if options.resume and (out / "config.json").exists():
            check_is_the_same(read_config(out), content, out)
        else:
            write_config(out, content)
    result = fit(
        learner,
        sampler.batch,
        options.fit,
        out,
        save_pretrained=save_pretrained,
        resume=options.resume,
        evaluate=validation(store, episodes["valid"], window, options.fit.batch_size),
        locate=lambda number, rank, world: sampler.locate(sampler.anchors(number)[rank::world]),
    )
    return Trained(out, learner, result)


def frozen_parts(options: Options) -> dict[str, nn.Module]:
    """The user's own frozen encoder where the configuration wants one, for `make_learner`.

    Raises:
        ValueError: it is wanted and not named, or named and not wanted, or cannot be made.
    """
    wanted = getattr(options.model, "trunk", None) == "features"
    if options.features is not None and not wanted:
        raise ValueError(
            f"--features {options.features}: only --model.trunk features (--preset dino_wm of recipe ac_jepa) has a "
            "frozen encoder of the user's own; leave it out"
        )
    if not wanted:
        return {}
    if options.features is None and options.config is not None:
        check_named(options.config, None)
    if options.features is None:
        raise ValueError(
            "--model.trunk features needs a frozen encoder: say which function makes it, with --features "
            "package.module:function"
        )
    return {"features": load_features(options.features)}


def with_momentum_steps(config: Any, steps: int | None) -> Any:
    """A recipe's configuration whose target momentum rises over the training's steps, where it left them open.

    A momentum that stays the same needs no steps.

    Raises:
        ValueError: time alone ends the training, so that its steps are not known.
    """
    if getattr(config, "momentum_steps", 0) is not None or config.momentum == config.momentum_end:
        return config
    if steps is None:
        raise ValueError(
            "--fit.steps None leaves open how long the target's momentum rises: give --model.momentum-steps"
        )
    return replace(config, momentum_steps=steps)


def open_data(path: Path, main: bool) -> Store:
    """The store of a recording, converted if need be with a bar that shows how far it is."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not main) as bar:
        row = bar.add_task(f"converting {path.name}", total=None)
        return open_store(path, progress=lambda done, total: bar.update(row, completed=done, total=total))


def choose_episodes(store: Store, selection: Selection) -> dict[str, np.ndarray]:
    """Episode numbers by role: "train", "valid" and "unlabelled".

    Raises:
        ValueError: too few episodes, or a filter that the recording lacks.
    """
    chosen = split_episodes(
        store,
        valid=selection.valid,
        seed=selection.seed,
        train_filter=selection.train_filter,
        valid_filter=selection.valid_filter,
    )
    if selection.unlabelled_filter is not None:
        extra = np.setdiff1d(store.episodes(selection.unlabelled_filter), chosen["valid"])
        chosen["train"] = np.setdiff1d(chosen["train"], extra)
        chosen["unlabelled"] = extra
    else:
        chosen["unlabelled"] = np.zeros(0, dtype=np.int64)
    if selection.num_demos is not None:
        if not 1 <= selection.num_demos <= len(chosen["train"]):
            raise ValueError(
                f"--episodes.num-demos must lie in 1..{len(chosen['train'])}, the training episodes of "
                f"{store.source}; got {selection.num_demos}"
            )
        order = np.random.default_rng(selection.seed).permutation(chosen["train"])
        chosen["train"] = np.sort(order[: selection.num_demos])
    if len(chosen["train"]) == 0:
        raise ValueError(
            f"no episode of {store.source} is left to train on: look at its filters with worldjepa inspect"
        )
    return chosen


def make_sampler(
    store: Store, episodes: dict[str, np.ndarray], window: Window, options: Options
) -> WindowSampler | GoalSampler | ViewSampler:
    """The windows that a recipe trains on, with goals where it wants them."""
    return window.sampler(
        store,
        episodes=np.concatenate([episodes["train"], episodes["unlabelled"]]),
        unlabelled=episodes["unlabelled"],
        batch_size=options.fit.batch_size,
        seed=options.episodes.seed,
    )


def validation(
    store: Store, episodes: np.ndarray, window: Window, batch_size: int
) -> Callable[[nn.Module, int], dict[str, float]] | None:
    """A function that measures the losses on the held-out episodes; None where there are none.

    Always the same windows, evenly spread, so that the curve moves for one reason only.
    """
    if len(episodes) == 0:
        return None
    sampler = window.sampler(store, episodes=episodes, batch_size=batch_size)
    count = min(len(sampler), MAX_VALID_WINDOWS)
    anchors = np.linspace(0, len(sampler) - 1, count).round().astype(np.int64)

    @torch.no_grad()
    def measure(learner: nn.Module, step: int) -> dict[str, float]:
        device = next(learner.parameters()).device
        sums: dict[str, float] = {}
        for part in np.array_split(anchors, -(-count // batch_size)):
            batch: TensorDict = sampler.at(part).to(device)
            for name, value in learner(batch).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(part)
        return {f"valid/{name}": value / count for name, value in sums.items()}

    return measure


def run_config(options: Options, store: Store, episodes: dict[str, np.ndarray], command: list[str]) -> dict[str, Any]:
    """The content of a run's config.json."""
    names = {role: tuple(store.names[i] for i in numbers) for role, numbers in episodes.items()}
    choice = DataChoice(str(options.data.resolve()), store.fingerprint, **names)
    return {
        "recipe": options.recipe,
        "config": settings(options.model),
        "fit": settings(options.fit),
        "data": data_section(choice, settings(options.episodes)),
        "spec": store.spec.to_json(),
        "versions": versions(),
        "command": command,
        **({} if options.features is None else {RECORDED: options.features}),
    }


def check_is_new(run: Path) -> None:
    """Raise ValueError where a run folder holds a run already."""
    if (run / "config.json").exists():
        raise ValueError(f"{run} holds a run already: add --resume to continue it, or name another folder with --out")


def check_is_the_same(before: dict[str, Any], now: dict[str, Any], run: Path) -> None:
    """Raise ValueError where a run would be resumed as another one.

    Settings of the training itself are checked by `worldjepa.train.fit`, which knows which may change.
    """
    changed = [name for name in ("recipe", "config", "spec", RECORDED) if before.get(name) != now.get(name)]
    if before["data"]["fingerprint"] != now["data"]["fingerprint"]:
        changed.append("data")
    elif before["data"]["episodes"] != now["data"]["episodes"]:
        changed.append("choice of episodes")
    if changed:
        raise ValueError(
            f"{run} was started with another {', another '.join(changed)}: resume it with "
            f"worldjepa train --config {run / 'config.json'} --resume, or name another folder with --out"
        )
