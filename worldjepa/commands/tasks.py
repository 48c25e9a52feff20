"""Environments and policies by the names a person types."""

import importlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldjepa.commands.frozen import parts_of

if TYPE_CHECKING:
    from worldjepa.data.task import Task
    from worldjepa.types import Policy

FLOORS = ("random", "noop")
ROBOSUITE, ROBOSUITE_HORIZON = 1, 400
"""robomimic's type of a robosuite environment, and the steps it is evaluated for."""
OF_VECTORS = ("num_envs", "vectorization_mode", "vector_kwargs")
"""Arguments of a vector environment that a recording may name and a single environment does not take."""
NAMES = (*FLOORS, "expert")
"""Policies that need no training."""


def parse_kwargs(pairs: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from "name=value" texts; values are read as JSON where they can be, else as text.

    Raises:
        ValueError: a text without "=".
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"expected name=value for the environment, got {pair!r}, as in obs_type=state+pixels")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def find_task(env: str | None, recorded: dict[str, Any], kwargs: dict[str, Any], horizon: int | None = None) -> "Task":
    """The task to evaluate on.

    Args:
        env: id the user gave, or None to take the one that the data was recorded in.
        recorded: `DataSpec.env` of that data.
        kwargs: for the environment; they come before the recorded ones.
        horizon: steps of an episode; None: the environment's own limit.

    Raises:
        ValueError: no environment given and none recorded, an unknown one, or one that does not take an argument.
    """
    from worldjepa.data.task import task

    name = recorded.get("env_name") or recorded.get("id")
    if env is None and not name:
        raise ValueError("the data does not say which environment it comes from: name it with --env (worldjepa envs)")
    if env in (None, name) and recorded.get("type") == ROBOSUITE:
        make = partial(importlib.import_module("worldjepa_envs").make_from_env_args, recorded)
        return task(str(name), make=make, env_args=recorded, horizon=horizon or ROBOSUITE_HORIZON, **kwargs)
    before = dict(recorded.get("env_kwargs") or recorded.get("kwargs") or {}) if env in (None, name) else {}
    horizon = horizon or before.pop("max_episode_steps", None)
    before = {k: v for k, v in before.items() if k not in OF_VECTORS}
    try:
        return task(env or str(name), horizon=horizon, **(before | kwargs))
    except TypeError as error:
        raise ValueError(f"{env or name} cannot be made with {before | kwargs}: {error}") from error


def find_policy(name: str, task: "Task", *, features: str | None = None, **options: Any) -> "tuple[str, Policy]":
    """A policy and what to call it.

    Args:
        name: "random", "noop", "expert", or a run folder, a model folder or a hub name.
        task: where it will act.
        features: what the user says makes frozen encoders, see `worldjepa.commands.frozen`.
        options: for learned policies, see `worldjepa_policies.load.load_policy`.

    Raises:
        ValueError: no such policy, or one whose frozen encoder is not named.
    """
    from worldjepa.evaluate.floors import NoopPolicy, RandomPolicy

    if name == "random":
        return name, RandomPolicy(task.action_space)
    if name == "noop":
        return name, NoopPolicy(task.action_space, hold_key=task.hold_key)
    if name == "expert":
        scripted = importlib.import_module("worldjepa_policies.scripted")
        return name, scripted.ScriptedPolicy(task.env_id, env_kwargs=task.kwargs)
    if not Path(name).exists() and "/" not in name:
        raise ValueError(f"{name!r} is neither a folder nor one of {', '.join(NAMES)}")
    options |= parts_of(name, features)
    policy = importlib.import_module("worldjepa_policies.load").load_policy(name, **options)
    return policy.learner.origin.recipe, policy
