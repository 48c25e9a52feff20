"""Collection: any policy in any Gymnasium environment, written as robomimic HDF5 while it happens.

Every episode is flushed when it is written, so an interrupted collection keeps what it has. Episodes are written in the
order of their seeds, so that the file does not depend on the number of environments.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from worldjepa.data.actions import OutOfBounds
from worldjepa.data.episodes import Episode
from worldjepa.data.progress import Progress, ProgressOption
from worldjepa.data.robomimic import RobomimicSource, RobomimicWriter
from worldjepa.data.simulate import (
    COLLECT_STREAM,
    NOISE_STREAM,
    Rollout,
    SeededPolicy,
    Start,
    derived_seed,
    draw_seeds,
    simulate,
)
from worldjepa.data.task import Task, action_bounds, task
from worldjepa.data.vector import simulate_vector, vector_spec
from worldjepa.types import DataSpec, Policy

DROPPED_LIMIT = 50
"""Solved starts for each episode tried, at which a collection gives up."""


@dataclass(frozen=True)
class Collected:
    """What a collection wrote."""

    path: Path
    num_episodes: int
    """Written."""
    num_tried: int
    """Run, those left out by ``only_success`` included."""
    num_success: int
    """Solved among ``num_tried``."""
    num_steps: int
    """Actions written."""
    num_dropped: int
    """Starts that were solved already, and not run."""
    num_ended: int
    """Among ``num_success``, those that the environment itself ended when they were solved."""


def collect(
    env: str | Task | gym.vector.VectorEnv,
    policy: Policy,
    path: str | Path,
    num_episodes: int,
    *,
    seed: int = 0,
    num_envs: int = 1,
    only_success: bool = False,
    max_tries: int | None = None,
    noise: float = 0.0,
    stop_on_success: bool = True,
    out_of_bounds: OutOfBounds = "error",
    parallel: bool = False,
    append: bool = False,
    progress: ProgressOption = False,
) -> Collected:
    """Record exactly ``num_episodes`` episodes as robomimic HDF5, with seeds, environment and success flags.

    Args:
        env: an id, a `Task`, or a vector environment of any kind (which is not closed). Episodes of a vector
            environment that resets itself have no seeds of their own, but for the first of each environment.
        policy: acts on all environments at once; has ``seed`` if it draws random numbers (`SeededPolicy`).
        path: file to make; its folder is made.
        num_episodes: to write.
        seed: the episodes' seeds are drawn from it; other numbers, and manifests of the same number, share none.
        num_envs: environments side by side (of an id or task).
        only_success: write solved episodes only, and go on until there are enough.
        max_tries: episodes after which ``only_success`` gives up; default 20 for each episode asked for.
        noise: standard deviation of Gaussian noise added to the actions, in half ranges of the action space. The
            recording holds the noisy actions: what was done.
        stop_on_success: end an episode as soon as it is solved; an environment may do so whatever is asked here
            (``num_ended``).
        out_of_bounds: "error", or "clip" actions to the action space.
        parallel: each environment in a process of its own.
        append: go on with an existing file. Seeds that it holds are passed over, so an interrupted collection that is
            taken up with the same ``seed`` ends as if it had not been interrupted.
        progress: True for a progress bar, or a function (episodes done, all episodes, successes).

    Raises:
        FileExistsError: the file is there and ``append`` is False.
        ValueError: an option that does not fit, a bad action, ``only_success`` without a success predicate.
        RuntimeError: ``only_success`` gave up.
    """
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    source = task(env) if isinstance(env, str) else env
    space = source.single_action_space if isinstance(source, gym.vector.VectorEnv) else source.action_space
    if noise:
        policy = Noisy(policy, space, noise)
    if isinstance(source, gym.vector.VectorEnv):
        spec = vector_spec(source)
        rollouts = simulate_vector(policy, source, seed=seed, out_of_bounds=out_of_bounds)
    else:
        spec = source.spec
        if only_success:
            source.need_success()
        there = _recorded_seeds(Path(path).expanduser()) if append else set()
        fresh = (drawn for drawn in draw_seeds(seed, COLLECT_STREAM) if drawn not in there)
        starts = (Start(index, drawn) for index, drawn in enumerate(fresh))
        rollouts = simulate(
            policy,
            source,
            starts,
            num_envs=min(num_envs, num_episodes),
            stop_on_success=stop_on_success,
            keep_obs=True,
            out_of_bounds=out_of_bounds,
            parallel=parallel,
        )
    limit = max_tries or (20 * num_episodes if only_success else num_episodes)
    path = Path(path).expanduser()
    return _write(rollouts, spec, path, num_episodes, only_success, limit, append=append, progress=progress)


class Noisy:
    """A policy with Gaussian noise on its actions, kept within the bounds; each episode has noise of its own.

    Args:
        policy: to disturb.
        space: of the actions, a bounded Box.
        scale: standard deviation in half ranges of the space.
    """

    def __init__(self, policy: Policy, space: gym.Space, scale: float):
        low, high = action_bounds(space)
        if not isinstance(space, gym.spaces.Box) or not np.isfinite(high - low).all():
            raise ValueError(f"noise needs a bounded Box of actions, got {space}")
        self._policy, self._low, self._high = policy, low, high
        self._std = scale * (high - low) / 2
        self._generators: dict[int, np.random.Generator] = {}

    def reset(self, done: Tensor) -> None:
        """Begin new episodes where ``done`` [B]."""
        self._policy.reset(done)

    def seed(self, row: int, seed: int) -> None:
        """Draw the noise of ``row``, and what the policy draws, from ``seed``."""
        self._generators[row] = np.random.default_rng(derived_seed(seed, NOISE_STREAM))
        if isinstance(self._policy, SeededPolicy):
            self._policy.seed(row, seed)

    def act(self, obs: TensorDict) -> Tensor:
        """The policy's actions [B, A], disturbed."""
        action = self._policy.act(obs)
        rows = [self._generators[row].normal(size=len(self._std)) for row in range(len(action))]
        noisy = np.clip(action.cpu().numpy() + np.stack(rows) * self._std, self._low, self._high)
        return torch.from_numpy(noisy).to(action)


def to_episode(rollout: Rollout) -> Episode:
    """A recorded rollout as an episode; where nothing ended it but success, it counts as cut off."""
    ends = np.zeros((2, rollout.num_steps), dtype=bool)
    ends[0, -1], ends[1, -1] = rollout.terminated, rollout.truncated or not rollout.terminated
    return Episode(
        rollout.obs,
        rollout.action.astype(np.float32),
        reward=rollout.reward.astype(np.float32),
        terminated=ends[0],
        truncated=ends[1],
        success=rollout.solved,
        seed=rollout.seed,
        step_success=None if rollout.success is None else rollout.success[1:],
    )


def in_order(rollouts: Iterator[Rollout]) -> Iterator[Rollout]:
    """The same in the order of their index; at Ctrl-C, those that wait for an earlier one still come out."""
    waiting: dict[int, Rollout] = {}
    due = 0
    try:
        for rollout in rollouts:
            waiting[rollout.index] = rollout
            while due in waiting:
                yield waiting.pop(due)
                due += 1
    except KeyboardInterrupt:
        yield from (waiting[index] for index in sorted(waiting))
        raise


@contextmanager
def rollout_writer(path: str | Path, spec: DataSpec, append: bool = False) -> Iterator[Callable[[Rollout], None]]:
    """Yields a function that writes a rollout; marks the subsets "success" and "failure" in the end."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    subsets: dict[str, list[str]] = {"success": [], "failure": []}
    if append and path.exists():
        with RobomimicSource(path) as source:
            subsets = {name: list(source.filters.get(name, [])) for name in subsets}
    with RobomimicWriter(path, spec, append=append) as writer:

        def write(rollout: Rollout) -> None:
            name = writer.append(to_episode(rollout))
            if rollout.solved is not None:
                subsets["success" if rollout.solved else "failure"].append(name)

        try:
            yield write
        finally:
            for name, demos in subsets.items():
                if demos:
                    writer.write_mask(name, demos)


def _recorded_seeds(path: Path) -> set[int]:
    """Seeds of the episodes in a robomimic file."""
    if not path.exists():
        return set()
    with h5py.File(path, "r") as file:
        demos: Any = file.get("data", {})
        return {int(demo.attrs["seed"]) for demo in demos.values() if "seed" in demo.attrs}


def _write(
    rollouts: Generator[Rollout, None, None],
    spec: DataSpec,
    path: Path,
    wanted: int,
    only_success: bool,
    limit: int,
    **options: Any,
) -> Collected:
    """Take ``wanted`` rollouts in order, of at most ``limit`` tried."""
    tried = solved = ended = steps = dropped = written = 0
    progress = options["progress"]
    with (
        rollout_writer(path, spec, options["append"]) as write,
        Progress(progress, wanted, f"collect {path.name}") as bar,
        closing(rollouts),
    ):
        for rollout in in_order(rollouts):
            if rollout.solved_at_start:
                dropped += 1
                if dropped > DROPPED_LIMIT * (tried + 1):
                    raise RuntimeError(f"{dropped} starts were solved already; the success predicate is too loose")
                continue
            tried += 1
            solved += rollout.solved is True
            ended += rollout.ended_by_success
            if only_success and rollout.solved is None:
                raise ValueError("only_success needs info['is_success'] of every step, or a Task with a predicate")
            if rollout.solved or not only_success:
                write(rollout)
                written += 1
                steps += rollout.num_steps
                bar.advance(None if rollout.solved is None else solved)
            if written == wanted:
                break
            if tried >= limit:
                raise RuntimeError(
                    f"only {written} of {tried} episodes were solved, {wanted} are wanted; {path} keeps the {written}. "
                    "Use a better policy, a longer horizon, or a larger max_tries"
                )
    return Collected(path, written, tried, solved, steps, dropped, ended)
