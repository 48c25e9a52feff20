"""A task: how to make an environment, and how to tell that it is solved.

``terminated`` says that an episode is over, never that it went well: CartPole terminates when the pole falls. Success
is a predicate of its own, read from ``info["is_success"]`` of every reset and step, or given by the user.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa.types import DataSpec, ObsSpec

Predicate = Callable[[gym.Env, dict[str, Any]], bool]
"""(environment, info of a reset or step) -> solved now."""
Score = Callable[[gym.Env, dict[str, Any]], float]
"""(environment, info of a reset or step) -> how far along, more is better."""


@dataclass(frozen=True)
class Task:
    """An environment with a success predicate. Made by `task`."""

    env_id: str
    make: Callable[..., gym.Env]
    """``make(render_mode=None)`` builds one environment; picklable where environments run in their own processes."""
    observation_space: gym.Space
    action_space: gym.Space
    horizon: int
    """Steps after which an episode is cut off."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments the environment is made with, those of ``env_args`` included."""
    success: Predicate | None = None
    """None: the environment tells no success; it can be collected from, not evaluated."""
    score: Score | None = None
    score_name: str = "score"
    path_key: str | None = None
    """Observation key (flat) whose travelled distance is an episode's path length; None: all state keys together."""
    hold_key: str | None = None
    """Observation key that, given back as the action, leaves things as they are (absolute position control)."""
    fps: float | None = None
    """Control steps a second, where known."""
    env_args: Mapping[str, Any] = field(default_factory=dict)
    """What robomimic's ``env_args`` hold beside name and arguments, such as the "type" of a simulator that is not
    Gymnasium."""

    @property
    def spec(self) -> DataSpec:
        """What a recording of this task looks like, with the ``env_args`` that make its environment again."""
        low, high = action_bounds(self.action_space)
        return DataSpec(
            obs={key: space_spec(space) for key, space in flat_spaces(self.observation_space).items()},
            action_dim=len(low),
            action_low=tuple(low.tolist()) if np.isfinite(low).all() else None,
            action_high=tuple(high.tolist()) if np.isfinite(high).all() else None,
            fps=self.fps,
            env={"type": 2, **self.env_args, "env_name": self.env_id, "env_kwargs": dict(self.kwargs)},
        )

    def need_success(self) -> Predicate:
        """The success predicate.

        Raises:
            ValueError: the environment tells none and none was given.
        """
        if self.success is None:
            raise ValueError(
                f"{self.env_id} does not say whether it is solved: the info of its reset has no 'is_success', and "
                "`terminated` is not success. Give a predicate: "
                f"task({self.env_id!r}, success=lambda env, info: ...), called after every reset and step"
            )
        return self.success


def task(
    env_id: str,
    *,
    success: Predicate | None = None,
    score: Score | None = None,
    score_name: str | None = None,
    horizon: int | None = None,
    path_key: str | None = None,
    hold_key: str | None = None,
    make: Callable[..., gym.Env] | None = None,
    env_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Task:
    """A task of any registered Gymnasium environment, with what the environment says of itself.

    An environment may carry the attributes ``score_name``, ``path_key`` and ``hold_key``, and puts ``is_success`` (and
    ``score``) into the info of every reset and step; arguments given here come first.

    Args:
        env_id: registered id, or "package:id" to import the package that registers it.
        success: predicate (env, info) -> bool, called after every reset and step.
        score: (env, info) -> float.
        score_name: what the score is called in tables.
        horizon: steps after which an episode is cut off; default: the environment's own limit.
        path_key, hold_key: see `Task`.
        make: builds the environment instead of ``gymnasium.make`` (``env_id`` is then only its name); called with
            ``render_mode`` and ``kwargs``.
        env_args: robomimic's description that ``make`` follows; recordings repeat it, ``kwargs`` first.
        kwargs: for the environment.

    Raises:
        ValueError: an unknown id, no time limit, or keys that are not observed.
    """
    if make is None:
        build, limit = _registered(env_id, horizon, kwargs)
    else:
        build, limit = partial(make, **kwargs), None
    env = build()
    try:
        info = env.reset(seed=0)[1]
        limit = horizon or limit or (env.spec.max_episode_steps if env.spec else None)
        if limit is None:
            raise ValueError(f"{env_id} has no time limit; give one: task({env_id!r}, horizon=300)")
        named = {"score_name": score_name, "path_key": path_key, "hold_key": hold_key}
        for name, given in named.items():
            if given is None and env.has_wrapper_attr(name):
                named[name] = env.get_wrapper_attr(name)
        fps = env.metadata.get("render_fps")
        beside = dict(env_args or {})
        recorded = beside.pop("env_kwargs", None) or {}
        found = Task(
            env_id,
            build,
            env.observation_space,
            env.action_space,
            limit,
            {**recorded, **kwargs},
            success or (info_success if "is_success" in info else None),
            score or (info_score if "score" in info else None),
            named["score_name"] or "score",
            named["path_key"],
            named["hold_key"],
            float(fps) if fps else None,
            beside,
        )
    finally:
        env.close()
    spec = found.spec
    for name in ("path_key", "hold_key"):
        key = getattr(found, name)
        if key is not None and key not in spec.obs:
            if {"path_key": path_key, "hold_key": hold_key}[name] is not None:
                raise ValueError(f"{name}={key!r} is not observed by {env_id}; it has {sorted(spec.obs)}")
            found = _without(found, name)
    return found


def info_success(env: gym.Env, info: dict[str, Any]) -> bool:
    """The predicate of environments that put ``is_success`` into every info."""
    if "is_success" not in info:
        raise ValueError(
            f"{env} gave no info['is_success'] after a reset or step (it has {sorted(info)}); give a predicate: "
            "task(id, success=lambda env, info: ...)"
        )
    return bool(info["is_success"])


def info_score(env: gym.Env, info: dict[str, Any]) -> float:
    """The score of environments that put ``score`` into every info."""
    if "score" not in info:
        raise ValueError(f"{env} gave no info['score'] after a reset or step, though it did at first")
    return float(info["score"])


def flat_spaces(space: gym.Space, prefix: str = "") -> dict[str, gym.Space]:
    """The leaves of an observation space by flat key; a space that is not a Dict is "state", or "image" if it is one.

    Raises:
        ValueError: a leaf that is not made of numbers.
    """
    if isinstance(space, gym.spaces.Dict):
        found: dict[str, gym.Space] = {}
        for key, child in space.spaces.items():
            found.update(flat_spaces(child, f"{prefix}/{key}" if prefix else key))
        return found
    if not isinstance(space, (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)):
        where = f"observation {prefix!r}" if prefix else "the observation"
        raise ValueError(f"{where} is {space}; expected Box, Discrete or a Dict of them: wrap the environment")
    return {prefix or ("image" if space_spec(space).kind == "image" else "state"): space}


def space_spec(space: gym.Space) -> ObsSpec:
    """Shape and type of one observation as it is recorded: uint8 images as they are, all else float32, at least 1-d."""
    shape = tuple(space.shape or ()) or (1,)
    return ObsSpec(shape, "uint8" if space.dtype == np.uint8 and len(shape) == 3 else "float32")


def action_bounds(space: gym.Space) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds [A] (float64, infinite where open) of a Box or Discrete action space.

    Raises:
        ValueError: another kind of space.
    """
    if isinstance(space, gym.spaces.Box):
        return space.low.astype(np.float64).reshape(-1), space.high.astype(np.float64).reshape(-1)
    if isinstance(space, gym.spaces.Discrete):
        return np.array([float(space.start)]), np.array([float(space.start + space.n - 1)])
    raise ValueError(f"expected a Box or Discrete action space, got {space}; wrap the environment's actions")


def _registered(env_id: str, horizon: int | None, kwargs: dict[str, Any]) -> tuple[Callable[..., gym.Env], int | None]:
    package, _, name = env_id.rpartition(":")
    try:
        if package or name.startswith("worldjepa/"):
            importlib.import_module(package or "worldjepa_envs")
        spec = gym.spec(name)
    except (gym.error.Error, ImportError) as error:
        raise ValueError(
            f"no Gymnasium environment {env_id!r} ({error}); name the package that registers it, as in "
            "'gym_pusht:gym_pusht/PushT-v0', or run `worldjepa envs` for the ones found here"
        ) from error
    options: dict[str, Any] = {"disable_env_checker": True, **kwargs}
    if horizon is not None:
        options["max_episode_steps"] = horizon
    # The spec, not the id, so that a worker process need not have registered it.
    return partial(gym.make, spec, **options), spec.max_episode_steps


def _without(task: Task, name: str) -> Task:
    return Task(**{**task.__dict__, name: None})
