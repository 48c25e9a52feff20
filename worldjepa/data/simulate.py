"""Runs a policy in a simulator: exactly the episodes asked for, each with its own seed, on any number of environments.

What happens in an episode depends on its seed and the policy, not on what runs beside it: the environments share
nothing, policies that draw numbers are seeded episode by episode, and every number is computed from one episode alone.
"""

import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch

from worldjepa.data.actions import ActionCheck, OutOfBounds
from worldjepa.data.audit import VIDEOS, audited
from worldjepa.data.observations import Observations
from worldjepa.data.task import Task
from worldjepa.types import Policy

POLICY_STREAM, MANIFEST_STREAM, COLLECT_STREAM, NOISE_STREAM = range(1, 5)
"""Seeds of one number are drawn apart for these uses, so that no episode is collected that is also evaluated."""


@runtime_checkable
class SeededPolicy(Protocol):
    """What a policy that draws random numbers has beside ``reset`` and ``act``."""

    def seed(self, row: int, seed: int) -> None:
        """Draw from a generator of ``seed`` in row ``row`` from here on; called after ``reset`` where it is set."""
        ...


@runtime_checkable
class RestingPolicy(Protocol):
    """What a policy for which an action is costly may have beside ``reset`` and ``act``."""

    def rest(self, done: torch.Tensor) -> None:
        """From here on nobody uses the actions of exactly those rows where ``done`` [B] (bool) is True: any will do."""
        ...


@dataclass(frozen=True)
class Start:
    """One episode to run."""

    index: int
    seed: int | None
    """What its environment is reset with; None only where a vector environment resets itself."""


@dataclass(frozen=True)
class Rollout:
    """What happened in one episode; T is the number of steps taken, 0 where the start was solved already."""

    index: int
    seed: int | None
    obs: dict[str, np.ndarray]
    """By flat key: [T+1, ...]; without ``keep_obs`` the state keys only."""
    action: np.ndarray
    """[T, A] float64: what the environment was given."""
    reward: np.ndarray
    """[T] float64."""
    score: np.ndarray
    """[T+1] float64; zeros where the task has no score."""
    success: np.ndarray | None
    """[T+1] bool: the predicate held (for ``hold`` steps, but for the start); None where the task has none."""
    terminated: bool
    truncated: bool
    num_clipped: int
    """Steps whose action was clipped to the bounds."""
    action_ms: np.ndarray
    """[T] milliseconds of the policy a step: the time of its call over the number of running environments."""

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.reward)

    @property
    def solved_at_start(self) -> bool:
        """The start needed no policy."""
        return self.success is not None and bool(self.success[0])

    @property
    def solved(self) -> bool | None:
        """The predicate held at some time; None where the task has none."""
        return None if self.success is None else bool(self.success.any())

    @property
    def ended_by_success(self) -> bool:
        """The environment itself ended the episode in the first step that was a success."""
        return self.terminated and self.success is not None and bool(self.success[-1] and self.success.sum() == 1)


def draw_seeds(seed: int, stream: int) -> Iterator[int]:
    """Endless, different seeds in [0, 2**31) for the episodes of one use (a ``*_STREAM``) of ``seed``."""
    generator = np.random.default_rng(np.random.SeedSequence([seed, stream]))
    seen: set[int] = set()
    while True:
        drawn = int(generator.integers(2**31))
        if drawn not in seen:
            seen.add(drawn)
            yield drawn


def derived_seed(seed: int, stream: int) -> int:
    """A seed that belongs to an episode's ``seed`` but shares no random numbers with it."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])


def simulate(
    policy: Policy,
    task: Task,
    starts: Iterable[Start],
    *,
    num_envs: int = 1,
    hold: int = 1,
    stop_on_success: bool = True,
    keep_obs: bool = False,
    videos: Mapping[int, Path] | None = None,
    out_of_bounds: OutOfBounds = "error",
    parallel: bool = False,
) -> Generator[Rollout, None, None]:
    """Yield each episode as it ends (so not always in the order of ``starts``).

    Args:
        policy: acts on all environments at once; has ``seed`` if it draws random numbers (`SeededPolicy`), and may have
            ``rest`` (`RestingPolicy`): where no episode is left to begin, it is told which rows have ended. At the end
            none rests.
        task: what to run.
        starts: the episodes; may be endless, the caller then stops iterating.
        num_envs: environments side by side.
        hold, stop_on_success: see `Audit`.
        keep_obs: keep every observation, images included.
        videos: episode seed -> mp4 to write.
        out_of_bounds: what to do with actions outside the space, see `ActionCheck`.
        parallel: each environment in a process of its own.

    Raises:
        ValueError: num_envs or hold below 1, or a bad action.
    """
    if num_envs < 1 or hold < 1:
        raise ValueError(f"num_envs and hold must be at least 1, got {num_envs} and {hold}")
    todo = iter(starts)
    first = list(itertools.islice(todo, num_envs))
    if not first:
        return
    envs = vector_env(task, len(first), hold, stop_on_success, render=bool(videos), parallel=parallel)
    try:
        loop = _Loop(policy, task, envs, itertools.chain(first, todo), videos or {}, keep_obs, out_of_bounds)
        yield from loop.run()
    except BaseException:
        _close(envs, parallel, failed=True)
        raise
    _close(envs, parallel, failed=False)


def vector_env(
    task: Task, num_envs: int, hold: int = 1, stop_on_success: bool = True, *, render: bool = False, parallel: bool
) -> gym.vector.VectorEnv:
    """``num_envs`` audited environments of ``task`` that are reset by mask only."""
    build = [partial(audited, task, hold, stop_on_success, render)] * num_envs
    if parallel:
        return gym.vector.AsyncVectorEnv(build, autoreset_mode=gym.vector.AutoresetMode.DISABLED)
    return gym.vector.SyncVectorEnv(build, autoreset_mode=gym.vector.AutoresetMode.DISABLED)


def _close(envs: gym.vector.VectorEnv, parallel: bool, failed: bool) -> None:
    if parallel and failed:
        envs.close(terminate=True)
    else:
        envs.close()


class Recording:
    """The running episode of one environment."""

    def __init__(self, start: Start, keys: list[str]):
        self.start = start
        self._obs: dict[str, list[np.ndarray]] = {key: [] for key in keys}
        self._score: list[float] = []
        self._success: list[bool | None] = []
        self._steps: list[tuple[np.ndarray, float, float]] = []

    def see(self, obs: dict[str, np.ndarray], row: int, success: bool | None, score: float) -> None:
        """Keep what row ``row`` of ``obs`` [B, ...] shows after the reset or a step."""
        for key, frames in self._obs.items():
            frames.append(obs[key][row].copy())
        self._success.append(success)
        self._score.append(score)

    def do(self, action: np.ndarray, reward: float, action_ms: float) -> None:
        """Keep a step: action [A], reward, milliseconds of the policy."""
        self._steps.append((action, reward, action_ms))

    def finish(self, terminated: bool, truncated: bool, num_clipped: int, action_dim: int) -> Rollout:
        """The whole episode."""
        action = [step[0] for step in self._steps]
        known = None not in self._success
        return Rollout(
            self.start.index,
            self.start.seed,
            {key: np.stack(frames) for key, frames in self._obs.items()},
            np.array(action, dtype=np.float64).reshape(-1, action_dim),
            np.array([step[1] for step in self._steps], dtype=np.float64),
            np.array(self._score, dtype=np.float64),
            np.array(self._success, dtype=bool) if known else None,
            terminated,
            truncated,
            num_clipped,
            np.array([step[2] for step in self._steps], dtype=np.float64),
        )


class _Loop:
    """The state of `simulate` between two steps."""

    def __init__(
        self,
        policy: Policy,
        task: Task,
        envs: gym.vector.VectorEnv,
        todo: Iterator[Start],
        videos: Mapping[int, Path],
        keep_obs: bool,
        out_of_bounds: OutOfBounds,
    ):
        self.policy, self.envs, self.todo, self.videos = policy, envs, todo, videos
        self.check = ActionCheck(task.action_space, envs.num_envs, out_of_bounds, task.env_id)
        self.reader = Observations(task.observation_space)
        self.kept = list(self.reader.specs) if keep_obs else self.reader.state_keys
        self.has_success = task.success is not None
        self.rows: list[Recording | None] = [None] * envs.num_envs
        self.obs: dict[str, np.ndarray] = {}

    def run(self) -> Iterator[Rollout]:
        """Fill free rows, step, hand out what has ended, until nothing is left to start."""
        while True:
            yield from self._fill()
            active = np.array([row is not None for row in self.rows])
            if isinstance(self.policy, RestingPolicy):
                self.policy.rest(torch.from_numpy(~active & active.any()))
            if not active.any():
                return
            action, elapsed_ms = self._act(active)
            raw, reward, _, _, info = self.envs.step(self.check.for_env(action))
            self.obs = self.reader.arrays(raw)
            for index in np.flatnonzero(active).tolist():
                row = self.rows[index]
                assert row is not None
                row.do(action[index], float(reward[index]), elapsed_ms)
                self._see(row, index, info)
                if info["ended"][index]:
                    yield self._finish(row, index, info)

    def _fill(self) -> Iterator[Rollout]:
        """Start the next episodes in the free rows; starts that are solved already are handed out at once."""
        while True:
            mask = np.zeros(len(self.rows), dtype=bool)
            seeds: list[int | None] = [None] * len(self.rows)
            begun: dict[int, Start] = {}
            for index, row in enumerate(self.rows):
                start = next(self.todo, None) if row is None else None
                if start is not None:
                    mask[index], seeds[index], begun[index] = True, start.seed, start
            if not begun:
                return
            raw, info = self.envs.reset(seed=seeds, options={"reset_mask": mask, VIDEOS: dict(self.videos)})  # pyright: ignore[reportArgumentType]
            self.obs = self.reader.arrays(raw)
            self.policy.reset(torch.from_numpy(mask))
            again = False
            for index, start in begun.items():
                assert start.seed is not None
                if isinstance(self.policy, SeededPolicy):
                    self.policy.seed(index, derived_seed(start.seed, POLICY_STREAM))
                self.check.num_clipped[index] = 0
                row = self.rows[index] = Recording(start, self.kept)
                self._see(row, index, info)
                if info["ended"][index]:
                    again = True
                    yield self._finish(row, index, info)
            if not again:
                return

    def _act(self, active: np.ndarray) -> tuple[np.ndarray, float]:
        """Checked actions [B, A], and the milliseconds of the call for each running environment."""
        observation = self.reader.tensordict(self.obs)
        begin = time.perf_counter()
        with torch.no_grad():
            action = self.policy.act(observation).detach().cpu()
        elapsed_ms = (time.perf_counter() - begin) * 1e3
        return self.check(action, active), elapsed_ms / int(active.sum())

    def _see(self, row: Recording, index: int, info: dict[str, Any]) -> None:
        success = bool(info["success"][index]) if self.has_success else None
        row.see(self.obs, index, success, float(info["score"][index]))

    def _finish(self, row: Recording, index: int, info: dict[str, Any]) -> Rollout:
        self.rows[index] = None
        ends = bool(info["terminated"][index]), bool(info["truncated"][index])
        return row.finish(*ends, int(self.check.num_clipped[index]), len(self.check.low))
