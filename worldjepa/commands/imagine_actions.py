"""Imagination under other actions than the recorded ones: a policy's, or those of a file."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldjepa.commands import tasks
from worldjepa.commands.evaluate import GOAL_CONDITIONED, GOALS
from worldjepa.commands.imagine import Options, sentence, write_json
from worldjepa.commands.pictures import FOLDER
from worldjepa.commands.run_data import RunData, sees_future_images
from worldjepa.commands.run_folder import saved_config

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from worldjepa.commands.pictures import Studio
    from worldjepa.data.task import Task
    from worldjepa.evaluate.probe import ProbeWindows
    from worldjepa.learner import Learner
    from worldjepa.types import Policy


def imagine_policy(
    learner: "Learner",
    data: RunData,
    train: "ProbeWindows",
    horizon: int,
    options: Options,
    console: "Console",
    studio: "Studio | None",
) -> list[Path]:
    """Let a policy act in the environment, and imagine its episodes from their beginnings.

    Returns:
        The files made.

    Raises:
        ValueError: no such policy or environment, or episodes shorter than the horizon.
    """
    import numpy as np

    from worldjepa.data import open_store
    from worldjepa.data.collect import collect
    from worldjepa.evaluate.imagine import imagination_report, imagine, state_names
    from worldjepa.evaluate.probe import probe_windows
    from worldjepa.recipes import recipe

    name, policy, task = find_actor(learner, options)
    origin = learner.origin
    window = recipe(origin.recipe).window(origin.config, origin.spec)
    with tempfile.TemporaryDirectory() as folder:
        with console.status(f"{name} acts in {task.env_id}"):
            path = collect(
                task, policy, Path(folder) / "episodes.hdf5", options.starts, seed=options.seed, stop_on_success=False
            ).path
        store = open_store(path)
        missing = sorted({*window.keys, *data.states} - set(store.spec.obs))
        if missing:
            raise ValueError(f"{task.env_id} does not give {missing}, which the model or the probe reads: use --kwargs")
        test = probe_windows(
            store,
            range(len(store)),
            state_keys=data.states,
            keys=window.keys,
            history=window.history,
            horizon=horizon,
            stride=window.stride,
            images=sees_future_images(learner),
            max_windows=10**9,
        )
        first = [int(np.flatnonzero(test.episode == i)[0]) for i in np.unique(test.episode)]
        test = test.rows(first).standardised_as(train)
    found = imagination_report(
        imagine(learner, train, test), test, state_names(test, data.states), num_starts=options.starts
    )
    made = [write_json(options.run / FOLDER / f"{name}.json", {"policy": name, **found})]
    console.print(sentence(found, f"actions of {name}"))
    return made + ([] if studio is None else studio.show(name, test, range(len(first))))


def imagine_actions(
    learner: "Learner",
    data: RunData,
    train: "ProbeWindows",
    test: "ProbeWindows",
    rows: Sequence[int],
    options: Options,
    console: "Console",
    studio: "Studio | None",
) -> list[Path]:
    """Imagine recorded starts under the actions of a file.

    Returns:
        The files made.

    Raises:
        ValueError: actions of another size, or more than the model can imagine.
    """
    from worldjepa.evaluate.imagine import imagine_blocks, state_names

    assert options.actions is not None
    actions = read_actions(options.actions, learner.origin.spec.action_dim)
    blocks = as_blocks(actions, train.stride)
    starts = test.rows(rows)
    imagined, doubt = imagine_blocks(learner, train, starts, blocks)
    raw = imagined * train.std + train.mean
    found = {
        "actions": actions.tolist(),
        "names": state_names(test, data.states),
        "unit": "raw units of the data",
        "stride": train.stride,
        "starts": [
            {
                "episode": int(starts.episode[i]),
                "index": int(starts.step[i]),
                "imagined": raw[i].tolist(),
                **({} if doubt is None else {"disagreement": doubt[i].tolist()}),
            }
            for i in range(len(rows))
        ],
    }
    made = [write_json(options.run / FOLDER / "actions.json", found)]
    console.print(f"imagined under the {len(actions)} actions of {options.actions}: {len(rows)} starts, {made[0]}")
    return made + ([] if studio is None else studio.show("actions", test, rows, blocks))


def find_actor(learner: "Learner", options: Options) -> "tuple[str, Policy, Task]":
    """The policy named by the options, what to call it, and its environment."""
    name = str(options.policy)
    kwargs = tasks.parse_kwargs(options.kwargs)
    if saved_config(name).get("recipe") in GOAL_CONDITIONED:
        kwargs = GOALS | kwargs
    task = tasks.find_task(options.env, learner.origin.spec.env, kwargs)
    if Path(name).suffix in (".npy", ".json"):
        actions = read_actions(Path(name), learner.origin.spec.action_dim)
        return Path(name).stem, Recited(actions), replace(task, horizon=min(task.horizon, len(actions)))
    found, policy = tasks.find_policy(name, task, features=options.features)
    return found, policy, task


class Recited:
    """A policy that says actions by heart, in every episode the same.

    Args:
        actions: [T, A], raw; after the last it is silent (an error).
    """

    def __init__(self, actions: "np.ndarray"):
        self._actions = actions
        self._step: dict[int, int] = {}

    def reset(self, done: Any) -> None:
        """Begin again where ``done``."""
        for row in done.nonzero().flatten().tolist():
            self._step.pop(row, None)

    def act(self, obs: Any) -> Any:
        """The next action of each row."""
        import torch

        rows = range(obs.batch_size[0])
        steps = [self._step.get(row, 0) for row in rows]
        self._step = {row: step + 1 for row, step in zip(rows, steps)}
        return torch.from_numpy(self._actions[steps])


def read_actions(path: Path, action_dim: int) -> "np.ndarray":
    """Actions [T, A] float64 from a .npy file or a JSON list of lists.

    Raises:
        ValueError: the file is not there, or holds something else.
    """
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False) if path.suffix == ".npy" else json.loads(path.read_text())
        actions = np.asarray(found, dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no actions [T, A] that can be read (.npy or .json): {error}") from error
    if actions.ndim != 2 or actions.shape[1] != action_dim or not len(actions) or not np.isfinite(actions).all():
        raise ValueError(f"{path} must hold finite actions [T, {action_dim}], got {list(actions.shape)}")
    return actions


def as_blocks(actions: "np.ndarray", stride: int) -> Any:
    """Actions [T, A] as a tensor of blocks [T / k, k * A].

    Raises:
        ValueError: they do not fill whole blocks.
    """
    import torch

    if len(actions) % stride:
        raise ValueError(f"the model is told blocks of {stride} actions, {len(actions)} do not fill whole ones")
    return torch.from_numpy(actions.reshape(len(actions) // stride, -1)).float()
