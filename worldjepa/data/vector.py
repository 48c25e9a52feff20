"""Runs a policy in a vector environment that somebody else made, however it resets itself."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from worldjepa.data.actions import ActionCheck, OutOfBounds
from worldjepa.data.observations import Observations
from worldjepa.data.simulate import (
    COLLECT_STREAM,
    POLICY_STREAM,
    Recording,
    Rollout,
    SeededPolicy,
    Start,
    derived_seed,
    draw_seeds,
)
from worldjepa.data.task import action_bounds, flat_spaces, space_spec
from worldjepa.types import DataSpec, Policy


def simulate_vector(
    policy: Policy, envs: VectorEnv, *, seed: int = 0, out_of_bounds: OutOfBounds = "error"
) -> Generator[Rollout, None, None]:
    """Yield episodes as they end, without end; numbered in the order in which they begin, so that none is preferred
    for being short.

    All three autoreset modes are understood: the step that only resets is left out, and the last observation of an
    episode is its own. Success is ``info["is_success"]``; without it a rollout's ``success`` is None.

    Args:
        policy: acts on all environments at once.
        envs: stays open.
        seed: environments that take a list of seeds and are reset by mask (Gymnasium's own, and those with an attribute
            ``takes_seeds``) get one each episode; else the first reset
            alone is seeded, and ``Rollout.seed`` is None where it is not known.
        out_of_bounds: what to do with actions outside the space.
    """
    yield from _VectorLoop(policy, envs, seed, out_of_bounds).run()


def vector_spec(envs: VectorEnv) -> DataSpec:
    """What a recording of a vector environment looks like."""
    low, high = action_bounds(envs.single_action_space)
    spec: Any = envs.spec
    if spec is None and isinstance(envs.unwrapped, SyncVectorEnv | AsyncVectorEnv):
        spec = envs.unwrapped.get_attr("spec")[0]
    fps = envs.metadata.get("render_fps")
    return DataSpec(
        obs={key: space_spec(leaf) for key, leaf in flat_spaces(envs.single_observation_space).items()},
        action_dim=len(low),
        action_low=tuple(low.tolist()) if np.isfinite(low).all() else None,
        action_high=tuple(high.tolist()) if np.isfinite(high).all() else None,
        fps=float(fps) if fps else None,
        env={"env_name": spec.id if spec else "", "type": 2, "env_kwargs": _of_one(spec.kwargs) if spec else {}},
    )


OF_MANY = frozenset({"num_envs", "vectorization_mode", "vector_kwargs", "autoreset_mode", "max_episode_steps"})
"""Arguments of `gymnasium.make_vec` that one environment does not take."""


def _of_one(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key not in OF_MANY}


class _VectorLoop:
    """The state of `simulate_vector` between two steps."""

    def __init__(self, policy: Policy, envs: VectorEnv, seed: int, out_of_bounds: OutOfBounds):
        self.policy, self.envs, self.seed = policy, envs, seed
        self.mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self.check = ActionCheck(envs.single_action_space, envs.num_envs, out_of_bounds, str(envs))
        self.reader = Observations(envs.single_observation_space)
        self.takes_seeds = isinstance(envs.unwrapped, SyncVectorEnv | AsyncVectorEnv) or bool(
            getattr(envs.unwrapped, "takes_seeds", False)
        )
        self.drawn = draw_seeds(seed, COLLECT_STREAM)
        self.count = 0
        self.rows: list[Recording] = []

    def run(self) -> Iterator[Rollout]:
        """Step for ever, handing out what has ended."""
        num = self.envs.num_envs
        unknown: list[int | None] = [None] * num
        everyone = np.ones(num, dtype=bool)
        seeds: Any = [next(self.drawn) for _ in range(num)] if self.takes_seeds else self.seed
        raw, info = self.envs.reset(seed=seeds)
        obs = self.reader.arrays(raw)
        self.rows = [Recording(Start(-1, None), [])] * num
        self._begin(everyone, obs, info, seeds if self.takes_seeds else unknown)
        resetting = np.zeros(num, dtype=bool)
        while True:
            with torch.no_grad():
                chosen = self.policy.act(self.reader.tensordict(obs))
            action = self.check(chosen, ~resetting)
            raw, reward, terminated, truncated, info = self.envs.step(self.check.for_env(action))
            obs = self.reader.arrays(raw)
            ended = (terminated | truncated) & ~resetting
            judged, replaced = _judged(info, num), ended & (self.mode == AutoresetMode.SAME_STEP)
            for row in np.flatnonzero(~resetting).tolist():
                self.rows[row].do(action[row], float(reward[row]), 0.0)
                if replaced[row]:
                    self._see_last(row, info)
                else:
                    self.rows[row].see(obs, row, *judged[row])
            finished = [
                self.rows[row].finish(
                    bool(terminated[row]), bool(truncated[row]), int(self.check.num_clipped[row]), len(self.check.low)
                )
                for row in np.flatnonzero(ended).tolist()
            ]
            if self.mode == AutoresetMode.NEXT_STEP:
                self._begin(resetting, obs, info, unknown)
                resetting = ended
            elif self.mode == AutoresetMode.SAME_STEP:
                self._begin(ended, obs, info, unknown)
            elif ended.any():
                seeds = [next(self.drawn) if end and self.takes_seeds else None for end in ended]
                options = {"reset_mask": ended}
                raw, info = self.envs.reset(seed=seeds if self.takes_seeds else None, options=options)
                obs = self.reader.arrays(raw)
                self._begin(ended, obs, info, seeds)
            yield from finished

    def _begin(
        self, mask: np.ndarray, obs: dict[str, np.ndarray], info: dict[str, Any], seeds: list[int | None]
    ) -> None:
        """New episodes in the rows of ``mask``, whose first observations are in ``obs``."""
        if not mask.any():
            return
        self.policy.reset(torch.from_numpy(mask.copy()))
        judged = _judged(info, len(mask))
        for row in np.flatnonzero(mask).tolist():
            if isinstance(self.policy, SeededPolicy):
                self.policy.seed(row, derived_seed(self.seed, POLICY_STREAM + 16 * (self.count + 1)))
            self.check.num_clipped[row] = 0
            self.rows[row] = Recording(Start(self.count, seeds[row]), list(self.reader.specs))
            self.rows[row].see(obs, row, *judged[row])
            self.count += 1

    def _see_last(self, row: int, info: dict[str, Any]) -> None:
        """Keep the last observation of an episode from the info: what was observed shows the next one already."""
        last = self.reader.arrays(_stacked(info["final_obs"][row]))
        self.rows[row].see(last, 0, *_judged(info["final_info"], self.envs.num_envs)[row])


def _stacked(obs: Any) -> Any:
    """One observation as a batch of one."""
    return {key: _stacked(value) for key, value in obs.items()} if isinstance(obs, dict) else np.asarray(obs)[None]


def _judged(info: dict[str, Any], num: int) -> list[tuple[bool | None, float]]:
    """Whether each of ``num`` rows is solved, None where the info does not say, and its score, 0 where it does not."""
    told, scored = (info.get(f"_{name}", np.zeros(num, dtype=bool)).tolist() for name in ("is_success", "score"))
    solved = [bool(info["is_success"][row]) if is_told else None for row, is_told in enumerate(told)]
    scores = [float(info["score"][row]) if is_scored else 0.0 for row, is_scored in enumerate(scored)]
    return list(zip(solved, scores, strict=True))
