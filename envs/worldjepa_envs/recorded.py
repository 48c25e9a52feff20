"""Episodes that begin where a recording was, and end where it came to: goals that somebody is known to have reached."""

from typing import Any

import gymnasium as gym
import numpy as np

_STREAM = 31  # the pair is drawn apart from whatever else the environment draws of its seed


class RecordedGoals(gym.Wrapper):
    """Resets an environment to one of many pairs of start and goal state, chosen by the seed of the reset.

    Args:
        env: takes ``options={"state": ..., "goal": ...}`` at a reset, as ``worldjepa/PushT-v0`` does.
        starts: states [N, S] as the environment takes them.
        goals: states [N, S]; a recorded episode led from each start to its goal.

    Raises:
        ValueError: not as many goals as starts, or none.
    """

    def __init__(self, env: gym.Env, starts: np.ndarray, goals: np.ndarray):
        super().__init__(env)
        if starts.ndim != 2 or starts.shape != goals.shape or not len(starts):
            raise ValueError(f"expected starts and goals of one shape [N, S], got {starts.shape} and {goals.shape}")
        self._starts, self._goals = starts, goals

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the pair depends on ``seed`` alone where one is given.

        Raises:
            ValueError: ``options`` name a state or goal.
        """
        if {"state", "goal"} & set(options or {}):
            raise ValueError(
                "starts and goals are those of the recording here; reset the bare environment with options"
            )
        if seed is None:
            chosen = int(self.np_random.integers(len(self._starts)))
        else:
            chosen = int(np.random.default_rng([seed, _STREAM]).integers(len(self._starts)))
        pair = {"state": self._starts[chosen], "goal": self._goals[chosen]}
        return self.env.reset(seed=seed, options={**(options or {}), **pair})
