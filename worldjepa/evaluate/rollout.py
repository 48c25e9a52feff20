"""Audited evaluation of a policy: the same recorded starts for every policy, success by a predicate of its own.

A policy that draws random numbers also has ``seed(row, seed)`` (`SeededPolicy`), called at the start of each episode
with a number that belongs to the episode: then every number of an episode is the same for 1 or 8 environments.
"""

import logging
from contextlib import ExitStack
from pathlib import Path

import gymnasium as gym
import numpy as np

from worldjepa.data.actions import OutOfBounds
from worldjepa.data.collect import in_order, rollout_writer
from worldjepa.data.progress import Progress, ProgressOption
from worldjepa.data.simulate import Rollout, SeededPolicy, simulate
from worldjepa.data.task import Task, action_bounds, task
from worldjepa.evaluate.manifest import Manifest, make_manifest, versions
from worldjepa.evaluate.results import EpisodeResult, Evaluation
from worldjepa.types import Policy

__all__ = ["EpisodeResult", "Evaluation", "SeededPolicy", "Task", "evaluate", "task"]

logger = logging.getLogger(__name__)


def evaluate(
    policy: Policy,
    task: Task,
    manifest: Manifest | None = None,
    *,
    n: int = 100,
    seed: int = 0,
    name: str = "policy",
    num_envs: int = 1,
    hold: int = 1,
    stop_on_success: bool = True,
    out_of_bounds: OutOfBounds = "error",
    parallel: bool = False,
    videos: int = 0,
    run_dir: str | Path | None = None,
    record: str | Path | None = None,
    progress: ProgressOption = False,
) -> Evaluation:
    """Run a policy once from every start of a manifest.

    Args:
        policy: chooses actions in raw units.
        task: environment and success predicate.
        manifest: the starts; None makes one of ``n`` starts from ``seed``.
        n, seed: see ``manifest``.
        name: of the policy, in tables and file names.
        num_envs: environments side by side; no result depends on it.
        hold: steps in a row for which the task must be solved. Above 1, an environment that terminates because it is
            solved is stepped on.
        stop_on_success: end an episode as soon as it is a success.
        out_of_bounds: "error", or "clip" actions to the action space and count the steps.
        parallel: each environment in a process of its own.
        videos: how many of the first episodes to film, into ``run_dir/videos``.
        run_dir: the run folder; None where no video is asked for.
        record: robomimic HDF5 to write the rollouts to, success flags included, in the order of the manifest.
        progress: True for a progress bar, or a function (episodes done, all episodes, successes).

    Raises:
        ValueError: no success predicate, a manifest of another task, a start that differs from the recorded one, or a
            bad action.
    """
    task.need_success()
    if videos and run_dir is None:
        raise ValueError("videos need a run_dir to be written to")
    manifest = manifest or make_manifest(task, n, seed)
    manifest.check_task(task)
    starts = manifest.episodes()
    names = {start: f"videos/{name}_{index:03d}.mp4" for index, start in enumerate(manifest.seeds[:videos])}
    results: list[EpisodeResult | None] = [None] * len(starts)
    timing: list[np.ndarray] = []
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(progress, len(starts), f"evaluate {name}"))
        write = stack.enter_context(rollout_writer(record, task.spec)) if record is not None else None
        rollouts = simulate(
            policy,
            task,
            starts,
            num_envs=num_envs,
            hold=hold,
            stop_on_success=stop_on_success,
            keep_obs=record is not None,
            videos={key: Path(run_dir or ".") / value for key, value in names.items()},
            out_of_bounds=out_of_bounds,
            parallel=parallel,
        )
        for rollout in in_order(rollouts) if write is not None else rollouts:
            first = {key: frames[0] for key, frames in rollout.obs.items()}
            manifest.check_start(rollout.index, first, rollout.solved_at_start)
            results[rollout.index] = _result(rollout, task)
            timing.append(rollout.action_ms)
            if write is not None:
                write(rollout)
            bar.advance(sum(r.success for r in results if r is not None))
    found = Evaluation(
        policy=name,
        env=task.env_id,
        kwargs=manifest.kwargs,
        manifest={"path": str(manifest.path) if manifest.path else None, "sha256": manifest.sha256, "n": len(manifest)},
        num_dropped=len(manifest.dropped),
        episodes=tuple(r for r in results if r is not None),
        horizon=task.horizon,
        hold=hold,
        score_name=task.score_name if task.score else None,
        ms_per_action=_milliseconds(timing),
        num_envs=num_envs,
        out_of_bounds=out_of_bounds,
        videos=tuple(names.values()),
        versions=versions(),
    )
    assert len(found.episodes) == len(starts)
    if clipped := sum(episode.num_clipped for episode in found.episodes):
        logger.warning("%s: the actions of %d steps were clipped to the action space of %s", name, clipped, task.env_id)
    return found


def _result(rollout: Rollout, task: Task) -> EpisodeResult:
    """The record of an episode, computed from that episode alone."""
    assert rollout.success is not None
    assert rollout.seed is not None
    success = bool(rollout.success.any())
    return EpisodeResult(
        index=rollout.index,
        seed=rollout.seed,
        success=success,
        steps=rollout.num_steps,
        steps_to_success=int(rollout.success.argmax()) if success else None,
        return_=float(rollout.reward.sum()),
        score_max=float(rollout.score.max()) if task.score else None,
        score_final=float(rollout.score[-1]) if task.score else None,
        path_length=_path_length(rollout, task),
        smoothness=_smoothness(rollout, task),
        num_clipped=rollout.num_clipped,
    )


def _path_length(rollout: Rollout, task: Task) -> float | None:
    keys = [task.path_key] if task.path_key else [key for key, value in rollout.obs.items() if value.dtype != np.uint8]
    if not keys:
        return None
    parts = [rollout.obs[key].reshape(rollout.num_steps + 1, -1).astype(np.float64) for key in keys]
    return float(np.linalg.norm(np.diff(np.concatenate(parts, axis=1), axis=0), axis=1).sum())


def _smoothness(rollout: Rollout, task: Task) -> float | None:
    if not isinstance(task.action_space, gym.spaces.Box) or rollout.num_steps < 3:
        return None
    low, high = action_bounds(task.action_space)
    half = np.where(np.isfinite(high - low), (high - low) / 2, 1.0)
    return float(np.linalg.norm(np.diff(rollout.action / half, n=2, axis=0), axis=1).mean())


def _milliseconds(timing: list[np.ndarray]) -> dict[str, float]:
    every = np.concatenate(timing)
    return {
        "median": float(np.median(every)),
        "mean": float(every.mean()),
        "p95": float(np.quantile(every, 0.95)),
    }
