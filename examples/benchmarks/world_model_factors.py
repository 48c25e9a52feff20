"""Planning where an episode looks or behaves as no recorded one did: the runs of world_model.py, a factor at a time.

    python examples/benchmarks/world_model_factors.py --world two_rooms --runs runs/world_model/two_rooms-10min-100goals

In every episode one factor of variation of the environment has a random value; nothing else changes, neither start nor
goal, so that "difference" is taken episode by episode to the same run without variation. The expert, who is told the
state, shows where the task itself became harder. Every evaluation is kept: start the command again and it goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from rich.table import Table
from study import CONSOLE, solve, text
from world_model import WORLDS, Args, environment, search

from worldjepa.data.task import Task
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.evaluate.manifest import Manifest, make_manifest
from worldjepa.evaluate.rollout import Evaluation
from worldjepa.evaluate.statistics import seeds_mean, seeds_rate
from worldjepa.evaluate.world_model import factors_of
from worldjepa.recipes import from_pretrained
from worldjepa.types import Policy
from worldjepa_policies import ScriptedPolicy
from worldjepa_policies.mpc import MPCPolicy

NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to evaluate."""

    runs: Path
    """Folder with <model>-seed<k>, as world_model.py leaves it."""
    world: Literal["two_rooms", "push_near"] = "two_rooms"
    model: str = "small"
    """Which of its world models."""
    factors: tuple[str, ...] = ()
    """Names of factors of variation; by default all that the environment has."""
    episodes: int = 100
    """Goals for each run and factor."""
    samples: int = 300
    """Sequences of actions that a plan begins with."""
    iterations: int = 6
    """Of a plan."""


def main(options: Options) -> None:
    """Evaluate what is missing, then print a row for each factor."""
    torch.set_num_threads(1)
    runs = sorted(options.runs.glob(f"{options.model}-seed*"))
    if not runs:
        raise SystemExit(f"{options.runs} has no {options.model}-seed<k>; make them with world_model.py")
    world, folder = WORLDS[options.world], options.runs.with_name(f"{options.runs.name}-factors")
    wanted = options.factors or factors_of(environment(world, Args(world=options.world)))
    title = f"{options.world}: {len(runs)} seeds x {options.episodes} goals, one factor varied"
    table = Table("varied", "planning", "each seed", "difference", "expert", "random", title=title)
    several, usual = len(runs) > 1, None
    for factor in (NOTHING, *wanted):
        goals, starts = varied(options, factor)
        made = partial(evaluated, options, factor, goals, starts)
        expert = made("expert", folder, partial(ScriptedPolicy, world.env_id))
        random = made("random", folder, partial(RandomPolicy, goals.action_space))
        found = [made("planning", folder / run.name, partial(planning, options, run)) for run in runs]
        solved = np.stack([evaluation.successes for evaluation in found])
        usual = usual or (solved, starts)
        rate = text(seeds_rate(solved)) if several else f"{solved.mean():.3f}"
        each = " ".join(f"{x:.2f}" for x in solved.mean(1))
        table.add_row(
            factor,
            rate,
            each,
            difference(solved, starts, *usual) if several and factor != NOTHING else "",
            f"{expert.rate.estimate:.2f}",
            f"{random.rate.estimate:.2f}",
        )
    CONSOLE.print(table)


def varied(options: Options, factor: str) -> tuple[Task, Manifest]:
    """The task with goals in its observations, and one factor at random."""
    variation = {} if factor == NOTHING else {"variation": [factor]}
    task = environment(WORLDS[options.world], Args(world=options.world), goal_obs=True, **variation)
    return task, make_manifest(task, options.episodes, WORLDS[options.world].evaluation_seed)


def planning(options: Options, run: Path) -> MPCPolicy:
    """The planner of world_model.py with the model of a run."""
    learner = from_pretrained(run)
    planner, how = search(WORLDS[options.world], learner.origin.config.stride, options.samples, options.iterations)
    return MPCPolicy(learner, planner, **how)


def evaluated(
    options: Options,
    factor: str,
    goals: Task,
    starts: Manifest,
    who: str,
    folder: Path,
    make: Callable[[], Policy],
) -> Evaluation:
    """The evaluation of a policy under a factor, made if it is not there."""
    search = f"-{options.samples}x{options.iterations}" * (who == "planning")
    name = f"{who}-{factor}-{options.episodes}goals{search}"
    path = folder / "evaluations" / f"{name}.json"
    if not path.exists():
        solve(make(), goals, starts, name, folder)
    found = Evaluation.load(path)
    if found.manifest["sha256"] != starts.sha256:
        raise SystemExit(f"{path} was evaluated on other starts; remove it, or restore the versions it was made with")
    return found


def difference(solved: np.ndarray, starts: Manifest, usual: np.ndarray, usual_starts: Manifest) -> str:
    """Success with the factor varied less success without, over the starts that both have (solved ones are dropped)."""
    shared = sorted({*starts.seeds} & {*usual_starts.seeds})
    a, b = (
        values[:, [manifest.seeds.index(seed) for seed in shared]].astype(float)
        for values, manifest in ((solved, starts), (usual, usual_starts))
    )
    return text(seeds_mean(a - b), sign=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
