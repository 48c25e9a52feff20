"""Scripted experts of the environments that come with one."""

from tensordict import TensorDict
from torch import Tensor


class ScriptedPolicy:
    """The scripted expert of an environment, from `worldjepa_envs.expert`.

    Args:
        env_id: registered id, e.g. "worldjepa/Push-v0".
        noise: standard deviation of noise on its actions, in half ranges of the action space.
        seed: of the noise.

    Raises:
        ValueError: the environment has no expert.
    """

    def __init__(self, env_id: str, *, noise: float = 0.0, seed: int = 0):
        from worldjepa_envs import expert

        self._expert = expert(env_id, noise=noise, seed=seed)

    def reset(self, done: Tensor) -> None:
        """Begin new episodes in the rows where ``done`` [B] is True."""
        self._expert.reset(done)

    def act(self, obs: TensorDict) -> Tensor:
        """The expert's actions [B, A] for observations [B]."""
        return self._expert.act(obs)
