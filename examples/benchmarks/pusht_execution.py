"""How many actions of a chunk to execute: the runs of pusht.py evaluated again, from the same starts.

python examples/benchmarks/pusht_execution.py --runs runs/pusht/20min --steps 4 16
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from pusht import EVALUATION_SEED, TASK, TUNING_SEED
from pusht_table import MEASURES, coverage
from rich.console import Console
from rich.table import Table
from study import frozen_starts

from worldjepa.evaluate.rollout import Evaluation, evaluate, task
from worldjepa.evaluate.statistics import Interval, seeds_difference, seeds_mean
from worldjepa_policies.load import load_policy

METHODS = ("act_jepa", "act")


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to evaluate."""

    runs: Path
    """Folder with act_jepa-seed<k> and act-seed<k>, as pusht.py leaves it, beside the saved starts."""
    steps: tuple[int, ...] = (4, 16)
    """Numbers of executed actions."""
    episodes: int = 200
    """Episodes a run."""
    tune: bool = False
    """Start from the tuning starts."""


def main(args: Args) -> None:
    """Evaluate what is missing, then print a row for each method and number of steps."""
    torch.set_num_threads(1)
    pusht = task(TASK, obs_type="state")
    manifest = frozen_starts(pusht, args.episodes, TUNING_SEED if args.tune else EVALUATION_SEED, args.runs.parent)
    table = Table("executed", "method", *MEASURES)
    for steps in args.steps:
        scores: dict[str, np.ndarray] = {}
        for method in METHODS:
            found = []
            for run in sorted(args.runs.glob(f"{method}-seed*")):
                name = f"{method}-{steps}steps{'-tune' * args.tune}-{args.episodes}"
                path = run / "evaluations" / f"{name}.json"
                if path.exists():
                    found.append(Evaluation.load(path))
                    continue
                policy = load_policy(run, n_action_steps=steps)
                options = {"name": name, "num_envs": 10, "out_of_bounds": "clip", "progress": True}
                found.append(evaluate(policy, pusht, manifest, **options))
                found[-1].save(run)
            scores[method] = np.stack([coverage(e) for e in found])
            table.add_row(str(steps), method, *[_mean(measure(scores[method])) for measure in MEASURES.values()])
        if all(len(s) > 1 for s in scores.values()):
            a, b = (scores[m] for m in METHODS)
            cells = [_text(seeds_difference(measure(a), measure(b))) for measure in MEASURES.values()]
            table.add_row(str(steps), "difference", *cells, style="bold")
    Console().print(table)


def _mean(values: np.ndarray) -> str:
    return _text(seeds_mean(values)) if len(values) > 1 else f"{values.mean():.3f}"


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


if __name__ == "__main__":
    main(tyro.cli(Args))
