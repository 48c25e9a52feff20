"""Planners side by side in the same world models: success, and what a plan costs.

    python examples/benchmarks/world_model_planners.py --runs runs/world_model/two_rooms-10min-100goals

Planners that sample draw 300 sequences in each of 6 iterations with the same spread (iCEM, as in the tables of
world_model.py, a fifth fewer in each); gradient descent starts from 8 plans and makes 50 steps. Inverse dynamics
chooses without searching. Start the command again and it goes on where it stopped.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from study import CONSOLE, frozen_starts, once, solve, success_table
from world_model import WORLDS, Args, World, environment, search

from worldjepa.data.task import Task
from worldjepa.evaluate.manifest import Manifest
from worldjepa.plan import CEM, MPPI, GradientPlanner, Planner, RandomShooting
from worldjepa.recipes import from_pretrained
from worldjepa.types import Policy
from worldjepa_policies.amortised import InverseDynamicsPolicy
from worldjepa_policies.mpc import MPCPolicy


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to evaluate."""

    runs: Path
    """Folder with <model>-seed<k>, as world_model.py leaves it."""
    world: Literal["two_rooms", "push_near"] = "two_rooms"
    model: str = "small"
    """Which of its world models."""
    planners: tuple[str, ...] = ("icem", "cem", "mppi", "gradient", "shooting", "inverse dynamics")
    """The first is the one that the others are compared with."""
    episodes: int = 50
    """Goals for each run and planner."""
    samples: int = 300
    """Sequences of actions that a plan begins with."""
    iterations: int = 6
    """Of a plan."""


def main(options: Options) -> None:
    """Evaluate what is missing, then print the table."""
    torch.set_num_threads(1)
    world, runs = WORLDS[options.world], sorted(options.runs.glob(f"{options.model}-seed*"))
    if not runs:
        raise SystemExit(f"{options.runs} has no {options.model}-seed<k>; make them with world_model.py")
    goals = environment(world, Args(world=options.world), goal_obs=True)
    folder = options.runs / f"planners-{options.episodes}goals-{options.samples}x{options.iterations}"
    starts = frozen_starts(goals, options.episodes, world.evaluation_seed, folder)
    outcomes = []
    for run in runs:
        for name in options.planners:
            place = folder / f"{name.replace(' ', '_')}-{run.name}"
            outcomes.append(once(place, partial(evaluated, options, world, name, run, goals, starts)))
    title = f"{options.world}: {len(runs)} seeds x {options.episodes} goals"
    CONSOLE.print(success_table(title, outcomes, {}, options.planners[0]))


def evaluated(
    options: Options, world: World, name: str, run: Path, goals: Task, starts: Manifest, folder: Path
) -> dict[str, Any]:
    """Success of one planner in the model of one run."""
    learner = from_pretrained(run)
    usual, how = search(world, learner.origin.config.stride, options.samples, options.iterations)
    policy: Policy
    if name == "inverse dynamics":
        policy = InverseDynamicsPolicy(learner)
    else:
        policy = MPCPolicy(learner, make_planner(name, usual, options, world.std), **how)
    steps = json.loads((run / "outcome.json").read_text())["steps"]
    return {"steps": steps, "evaluations": {name: solve(policy, goals, starts, name, folder)}}


def make_planner(name: str, usual: Planner, options: Options, std: float) -> Planner:
    """A planner by its name."""
    shared: dict[str, Any] = {"num_samples": options.samples, "iterations": options.iterations, "std": std}
    made: dict[str, Planner] = {
        "icem": usual,
        "cem": CEM(**shared, num_elites=max(2, options.samples // 10)),
        "mppi": MPPI(**shared),
        "shooting": RandomShooting(**shared),
        "gradient": GradientPlanner(),
    }
    if name not in made:
        raise SystemExit(f"there is no planner {name!r}; known are {', '.join(made)}, inverse dynamics")
    return made[name]


if __name__ == "__main__":
    main(tyro.cli(Options))
