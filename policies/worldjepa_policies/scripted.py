"""Scripted experts of the environments that come with one."""

from collections.abc import Mapping
from typing import Any

from tensordict import TensorDict
from torch import Tensor


class ScriptedPolicy:
    """The scripted expert of an environment, from `worldjepa_envs.expert`.

    Args:
        env_id: registered id, e.g. "worldjepa/Push-v0".
        noise: standard deviation of noise on its actions, in half ranges of the action space.
        seed: of the noise.
        env_kwargs: what the environment is made with, as `worldjepa.data.task.Task.kwargs`; some experts depend on it.

    Raises:
        ValueError: the environment has no expert; names those that have one.
        ModuleNotFoundError: the expert needs a simulator that is not installed; names the extra.
    """

    def __init__(self, env_id: str, *, noise: float = 0.0, seed: int = 0, env_kwargs: Mapping[str, Any] | None = None):
        from worldjepa_envs import expert

        self._expert = expert(env_id, noise=noise, seed=seed, env_kwargs=env_kwargs)

    def reset(self, done: Tensor) -> None:
        """Begin new episodes in the rows where ``done`` [B] is True."""
        self._expert.reset(done)

    def act(self, obs: TensorDict) -> Tensor:
        """The expert's actions [B, A] for observations [B].

        Raises:
            ValueError: the state that the expert reads is not observed.
        """
        return self._expert.act(obs)
