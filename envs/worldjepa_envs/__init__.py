"""Gymnasium environments on MuJoCo with scripted experts, and adapters to the simulators users have.

Importing this package registers the environments and imports no simulator.
"""

from typing import TYPE_CHECKING

from gymnasium.envs.registration import register

if TYPE_CHECKING:
    from worldjepa_envs.experts import expert as expert

__all__ = ["expert"]

_LAZY = {"expert": "worldjepa_envs.experts"}

register("worldjepa/Push-v0", "worldjepa_envs.push:PushEnv", max_episode_steps=150, disable_env_checker=True)
register("worldjepa/Reach-v0", "worldjepa_envs.reach:ReachEnv", max_episode_steps=100, disable_env_checker=True)
register("worldjepa/PushT-v0", "worldjepa_envs.pusht:PushTEnv", max_episode_steps=300, disable_env_checker=True)


def __getattr__(name: str):
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
