"""``worldjepa imagine``: what a trained encoder knows of the future, and what its predictor makes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from worldjepa.commands.frozen import check_needed, open_learner
from worldjepa.commands.run_data import (
    RunData,
    features,
    fresh_learner,
    longest_episode,
    name_of,
    open_run_data,
    windows,
)

if TYPE_CHECKING:
    from worldjepa.evaluate.probe import ProbeRow
    from worldjepa.learner import Learner


@dataclass(frozen=True)
class Options:
    """Writes RUN/probe.json, and RUN/imagination.json where the model predicts latents."""

    run: Positional[Path]
    """Run folder, as worldjepa train makes it."""
    others: Positional[tuple[Path, ...]] = ()
    """Runs on the same data whose encoders are probed beside it."""
    horizon: int | None = None
    """Steps ahead (of a world model: blocks of actions); by default the model's own horizon (16 if it has none), of
    a world model that of a plan if that is longer."""
    state_keys: tuple[str, ...] = ()
    """States to predict; empty: all of the data's."""
    probe: Literal["linear", "mlp"] = "linear"
    """What reads the states from the frozen latents: ridge regression or a perceptron."""
    max_windows: int | None = None
    """At most so many windows, for fitting and for scoring; by default 8000, or as many as hold 256 MB of images."""
    starts: int = 6
    """Imagined trajectories kept for the report."""
    pictures: bool = False
    """Decode the trajectories into RUN/imagination: grids (png) and films (mp4) of real beside imagined frames."""
    decoder_steps: int = 2000
    """Training steps of the decoder that makes the pictures; it is kept, and used again for the same encoder."""
    decoder_seconds: float = 120.0
    """The decoder's training ends after so much time at the latest."""
    policy: str | None = None
    """Also imagine under the actions of a policy: random, noop, expert, a run folder, or a file of actions [T, A]
    (.npy, .json). It acts in the environment, so what really happens stands beside."""
    actions: Path | None = None
    """Also imagine from the recorded starts under these actions [T, A] (.npy, .json), raw, one a control step. What
    would really happen is then not known."""
    env: str | None = None
    """With --policy: Gymnasium id; by default the environment that the data was recorded in."""
    kwargs: tuple[str, ...] = ()
    """With --policy: arguments of the environment, as name=value."""
    features: str | None = None
    """Function that makes the frozen encoder of a model trained with --features, as package.module:function."""
    seed: int = 0
    """Of the choice of windows, the perceptron, the intervals and the policy's episodes."""


def run(options: Options) -> int:
    """Probe and imagine; print the tables."""
    from worldjepa.commands.console import make_console
    from worldjepa.commands.evaluate import check_acts
    from worldjepa.commands.imagine_actions import imagine_actions, imagine_policy
    from worldjepa.evaluate.imagine import imagination_report, imagine, state_names
    from worldjepa.evaluate.latents import check_rollout

    console = make_console()
    check_acts((str(options.run),))
    acting = [] if options.policy is None else [options.policy]
    check_needed([options.run, *options.others, *acting], options.features)
    learner = open_learner(options.run, options.features)
    data = open_run_data(options.run, options.state_keys)
    data.need_held_out()
    horizon = options.horizon or usual_horizon(learner, data)
    if learner.model.predictor is not None:
        check_rollout(learner, horizon, getattr(learner.origin.config, "history", 1))
    elif options.pictures or options.policy or options.actions:
        raise ValueError(f"{learner.origin.recipe} has no predictor, so it imagines nothing: train recipe ac_jepa")
    others = {name_of(path, options.run): open_learner(path, options.features) for path in options.others}
    with console.status(f"probing the states of {horizon} steps"):
        rows = probe(learner, others, data, horizon, options)
    write_json(options.run / "probe.json", _probe_json(rows, horizon))
    console.print(
        f"state {', '.join(data.states)}, {horizon} steps ahead, in standard deviations of the training states"
    )
    console.print(_table(rows))
    if learner.model.predictor is None:
        console.print(
            f"{learner.origin.recipe} has no predictor, so there is nothing to imagine: {options.run}/probe.json"
        )
        return 0
    with console.status("imagining"):
        train, test = windows([learner], data, horizon, options.max_windows, options.seed)
        found = imagination_report(
            imagine(learner, train, test), test, state_names(test, data.states), num_starts=options.starts
        )
    write_json(options.run / "imagination.json", found)
    how = "recorded actions" if found["steered"] else "demonstrated behaviour (it is told no actions)"
    console.print("\n" + sentence(found, how))
    made = [options.run / "probe.json", options.run / "imagination.json"]
    studio = None
    if options.pictures:
        from worldjepa.commands.pictures import Studio

        studio = Studio.open(learner, data, train, options, console)
        made += studio.show("recorded", test, _chosen(test, options.starts))
    if options.policy is not None:
        made += imagine_policy(learner, data, train, horizon, options, console, studio)
    if options.actions is not None:
        made += imagine_actions(learner, data, train, test, _chosen(test, options.starts), options, console, studio)
    console.print("\n".join(map(str, made)), soft_wrap=True)
    return 0


def usual_horizon(learner: "Learner", data: RunData) -> int:
    """Steps ahead, where none are asked for."""
    from worldjepa.evaluate.latents import rolls_out_frames
    from worldjepa.evaluate.world_model import open_loop_steps

    if rolls_out_frames(learner):
        return open_loop_steps(learner, longest_episode(data))
    return int(getattr(learner.origin.config, "horizon", 16))


def probe(
    learner: "Learner", others: "dict[str, Learner]", data: RunData, horizon: int, options: Options
) -> "list[ProbeRow]":
    """A row for each encoder and for the floors: random weights, the raw states, copying.

    Raises:
        ValueError: no held-out episodes, or none as long as the horizon.
    """
    import torch

    from worldjepa.evaluate.probe import raw_features, state_probe

    fresh = fresh_learner(learner, data, options.seed)
    learners = {learner.origin.recipe: learner, **others, "random init": fresh}
    train, test = windows(list(learners.values()), data, horizon, options.max_windows, options.seed)
    models = {name: features(x) for name, x in learners.items()}
    if any(train.obs[key].dtype != torch.uint8 for key in train.obs.keys(True, True)):
        models["raw state linear"] = raw_features
    return state_probe(models, train, test, kind=options.probe, seed=options.seed)


def sentence(found: dict[str, Any], how: str) -> str:
    """What an imagination came to, in words."""
    return (
        f"imagined under the {how}: RMSE {found['rmse']:.3f}; copying the present {found['copy_rmse']:.3f}; "
        f"a linear model {found['linear_rmse']:.3f}; the decoder alone {found['decoder_rmse']:.3f}; "
        f"{found['num_windows']} starts"
    )


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file, whole or not at all; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
    return path


def _chosen(test: Any, starts: int) -> list[int]:
    """The windows that `imagination_report` keeps."""
    import numpy as np

    return np.linspace(0, len(test.state) - 1, min(starts, len(test.state))).astype(int).tolist()


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
