"""What a world model is worth, as one record: open-loop errors, probes, collapse, and success when planned with.

Every success goes through `worldjepa.evaluate.rollout.evaluate`: exactly the starts of a manifest, floors beside.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.collapse import effective_rank, feature_std, least_feature_std
from worldjepa.data.task import Task
from worldjepa.evaluate.imagine import Imagination
from worldjepa.evaluate.latents import check_rollout, longest_rollout, rolls_out_frames
from worldjepa.evaluate.probe import ProbeWindows, present_probe
from worldjepa.evaluate.results import Evaluation
from worldjepa.learner import Learner
from worldjepa.plan import Cost, Plan, Planner

GOAL = "goal_"
"""Begins the name of an observation of the goal, see `need_goals`."""


class TimedPlanner:
    """A planner that notes how long each of its plans takes.

    Args:
        planner: does the work.
    """

    def __init__(self, planner: Planner):
        self.planner = planner
        self.std: float = getattr(planner, "std", 1.0)
        self.ms: list[float] = []
        """Milliseconds of each plan; of plans made in one batch, each its share."""

    def plan(
        self,
        cost: Cost,
        init: Tensor,
        generators: Sequence[Generator],
        *,
        low: Tensor | None = None,
        high: Tensor | None = None,
        candidates: Tensor | None = None,
    ) -> Plan:
        """See `Planner.plan`."""
        _wait(init)
        started = time.perf_counter()
        found = self.planner.plan(cost, init, generators, low=low, high=high, candidates=candidates)
        _wait(init)
        self.ms += [1000 * (time.perf_counter() - started) / len(init)] * len(init)
        return found

    def report(self) -> dict[str, float] | None:
        """Median, mean, 95th percentile and number; None before the first plan."""
        if not self.ms:
            return None
        mid, high = np.quantile(self.ms, [0.5, 0.95])
        return {"median": float(mid), "mean": float(np.mean(self.ms)), "p95": float(high), "n": len(self.ms)}


def need_world_model(learner: Learner) -> None:
    """Raise ValueError where a model cannot be asked what the suite asks."""
    if not rolls_out_frames(learner):
        raise ValueError(
            f"the world-model suite needs a model that rolls out frames under actions (recipe ac_jepa); "
            f"{learner.origin.recipe} predicts other targets: evaluate it without --suite"
        )


def need_goals(task: Task, keys: Sequence[str]) -> None:
    """Raise ValueError where the task's environment does not show the goal of every observation of the model."""
    missing = [GOAL + key for key in keys if GOAL + key not in task.spec.obs]
    if missing:
        raise ValueError(
            f"planning needs the goal observations {missing}; {task.env_id} gives {sorted(task.spec.obs)}. Make it "
            "with goal_obs=True and the observations that the model was trained on"
        )


def factors_of(task: Task) -> tuple[str, ...]:
    """Names of the factors of variation of an environment.

    Raises:
        ValueError: it has none.
    """
    env = task.make()
    try:
        found = getattr(env.unwrapped, "variations", None)
    finally:
        env.close()
    if not found:
        raise ValueError(f"{task.env_id} has no factors of variation (an attribute `variations`)")
    return tuple(found)


def planning_horizon(learner: Learner, wanted: int | None, usual: int = 5) -> int:
    """Blocks of a plan: as wanted, else the usual number or as many as the model can imagine."""
    if wanted is not None:
        return wanted
    longest = longest_rollout(learner, int(getattr(learner.origin.config, "history", 1)))
    return usual if longest is None else min(usual, longest)


def open_loop_steps(learner: Learner, num_rows: int, wanted: int | None = None, plan: int | None = None) -> int:
    """Blocks to imagine for open-loop errors: as wanted; else those of a training window or of a plan, whichever are
    more, as far as the model imagines. A plan's are cut to what the recording can show.

    Args:
        learner: of a world model.
        num_rows: observations of the longest episode.
        wanted: what the user asks for.
        plan: blocks of a plan that the user asks for.

    Raises:
        ValueError: more was asked for than the model imagines, or less than one.
    """
    config = learner.origin.config
    history = int(getattr(config, "history", 1))
    if wanted is not None:
        if wanted < 1:
            raise ValueError(f"an open loop has at least one block, got {wanted}")
        check_rollout(learner, wanted, history)
        return wanted
    longest = longest_rollout(learner, history)
    reach = planning_horizon(learner, plan)
    reach = reach if longest is None else min(reach, longest)
    recorded = (num_rows - 1) // config.stride - (history - 1)
    return max(config.horizon, min(reach, recorded))


def open_loop_report(imagination: Imagination, num_windows: int) -> dict[str, Any]:
    """Errors of rollouts under the recorded actions, step by step, beside copying and a linear model."""
    return {
        "stride": imagination.stride,
        "num_windows": num_windows,
        "probe": imagination.per_step(),
        "probe_unit": "standard deviations of the training states",
        "latent": imagination.latent,
        "latent_unit": "standard deviations of the true latents",
        "disagreement": None if imagination.disagreement is None else imagination.disagreement.mean(0).tolist(),
    }


def probes_report(
    models: Mapping[str, Callable[[TensorDict], Tensor]], train: ProbeWindows, test: ProbeWindows, seed: int = 0
) -> dict[str, Any]:
    """How well the present state can be read from each model's features, by a linear map and by a perceptron."""
    kinds: dict[str, Any] = {}
    for kind in ("linear", "mlp"):
        rows = present_probe(models, train, test, kind=kind, seed=seed)
        kinds[kind] = {row.model: {"rmse": row.rmse, "low": row.rmse_low, "high": row.rmse_high} for row in rows}
    return {"unit": "standard deviations of the training states", **kinds}


@torch.no_grad()
def collapse_report(learner: Learner, windows: ProbeWindows, most: int = 2048) -> dict[str, Any]:
    """Effective rank and spread (mean and least of the features) of the latents of held-out frames, tokens averaged."""
    device, parts = next(learner.parameters()).device, []
    for i in range(0, min(most, len(windows.obs)), 256):
        parts.append(learner.encode(windows.obs[i : min(i + 256, most), -1:].to(device)).cpu())
    rows = torch.cat(parts).mean(2).flatten(0, 1)
    return {
        "rank": float(effective_rank(rows)),
        "std": float(feature_std(rows)),
        "std_min": float(least_feature_std(rows)),
        "dim": rows.shape[1],
        "num_frames": len(rows),
    }


def success_report(evaluations: Sequence[Evaluation], ms_per_plan: dict[str, float] | None) -> dict[str, Any]:
    """Success of each policy on the same starts, with Wilson's intervals."""
    first = evaluations[0]
    return {
        "env": first.env,
        "kwargs": first.kwargs,
        "manifest": first.manifest["sha256"],
        "num_episodes": len(first.episodes),
        "dropped_already_solved": first.num_dropped,
        "horizon": first.horizon,
        "score_name": first.score_name,
        "policies": {found.policy: _policy(found) for found in evaluations},
        "ms_per_plan": ms_per_plan,
    }


def change_report(varied: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How each policy's success differs between two of `success_report`: rates of other starts, so not paired.

    The interval is Newcombe's for independent proportions (1998, Statistics in Medicine 17:873, method 10), from
    Wilson's of each.
    """
    found = {}
    for name, now in varied["policies"].items():
        if name not in plain["policies"]:
            continue
        before = plain["policies"][name]
        rate = now["rate"] - before["rate"]
        down = np.hypot(now["rate"] - now["low"], before["high"] - before["rate"])
        up = np.hypot(now["high"] - now["rate"], before["rate"] - before["low"])
        found[name] = {"rate": rate, "low": float(rate - down), "high": float(rate + up)}
    return found


def _policy(found: Evaluation) -> dict[str, Any]:
    rate, score = found.rate, found.score
    return {
        "rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "count": int(found.successes.sum()),
        "score": None if score is None else score.estimate,
        "ms_per_action": found.ms_per_action["median"],
    }


def _wait(tensor: Tensor) -> None:
    """Let an accelerator finish what it was given, so that time is that of the work."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
