"""Environments from the description that robomimic files carry: ``env_args``."""

import copy
import json
from typing import Any

import gymnasium as gym

_ROBOSUITE, _GYM = 1, 2


def make_from_env_args(env_args: str | dict, **kwargs: Any) -> gym.Env:
    """Make the environment that a robomimic file was recorded in.

    Args:
        env_args: {"env_name", "type", "env_kwargs"} or its JSON, as in the attribute ``data.attrs["env_args"]``;
            type 1 is robosuite (see `RobosuiteEnv`), type 2 Gymnasium.
        kwargs: take precedence over "env_kwargs"; for robosuite also ``obs_type`` and ``terminate_on_success``.

    Raises:
        ValueError: not such a description, or another simulator's.
        ModuleNotFoundError: the simulator is not installed; names the extra.
    """
    try:
        args = json.loads(env_args) if isinstance(env_args, str) else env_args
        name, kind = args["env_name"], int(args["type"])
        env_kwargs = copy.deepcopy(dict(args.get("env_kwargs") or {}))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'env_args must be {{"env_name", "type", "env_kwargs"}} or its JSON, got {str(env_args)[:200]!r}'
        ) from error
    if kind == _ROBOSUITE:
        from worldjepa_envs.robosuite import RobosuiteEnv

        return RobosuiteEnv(name, **{**env_kwargs, **kwargs})
    if kind == _GYM:
        return gym.make(name, **{**env_kwargs, **kwargs})
    raise ValueError(f"env_args has type {kind}; worldjepa makes type 1 (robosuite) and 2 (Gymnasium) environments")
