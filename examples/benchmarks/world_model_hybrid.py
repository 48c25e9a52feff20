"""A policy's chunk as the start of a plan: ACT-JEPA, planning, and both, from the same starts.

    python examples/benchmarks/world_model_hybrid.py --runs runs/world_model/push_near-10min-100goals-lr0.001-bf16

ACT-JEPA learns from the expert's half of the recordings that the world models of world_model.py learned from, and sees
states, the goal's pose among them; the world model sees pictures alone. Both look again after every block of five
control steps. Start the command again and it goes on where it stopped.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from study import CONSOLE, Budget, changed, frozen_starts, once, references, solve, success_table, train
from world_model import TUNING_SEED, WORLDS, Args, environment, search, split

from worldjepa.data import Store, open_store
from worldjepa.data.task import Task
from worldjepa.evaluate.manifest import Manifest
from worldjepa.recipes import act_jepa, from_pretrained
from worldjepa.types import Policy
from worldjepa_policies import ChunkPolicy, ScriptedPolicy
from worldjepa_policies.mpc import MPCPolicy
from worldjepa_policies.prior import HybridPolicy

WORLD = "push_near"
STATES = ("pusher", "block", "goal")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run."""

    runs: Path
    """Folder with <model>-seed<k>, as world_model.py leaves it, beside the recordings."""
    model: str = "small"
    """Which of its world models."""
    cpu_minutes: float = 3.0
    """CPU time of training ACT-JEPA, on one thread."""
    demonstrations: int | None = None
    """Of the expert that ACT-JEPA learns from; by default all that were recorded for training."""
    episodes: int = 100
    """Goals a policy is given."""
    hybrid_stds: tuple[float, ...] = (0.25, 0.5)
    """Spread of first plans around ACT-JEPA's chunk, in standard deviations of the recorded actions."""
    samples: int = 300
    """Sequences of actions that a plan begins with."""
    iterations: int = 6
    """Of a plan."""
    tune: bool = False
    """Evaluate on tuning starts."""


def main(options: Options) -> None:
    """Train and evaluate what is missing, then print the table."""
    torch.set_num_threads(1)
    world, runs = WORLDS[WORLD], sorted(options.runs.glob(f"{options.model}-seed*"))
    if not runs:
        raise SystemExit(f"{options.runs} has no {options.model}-seed<k>; make them with world_model.py")
    goals = environment(world, Args(world=WORLD), goal_obs=True)
    about = f"{options.cpu_minutes:g}min{changed(options, demonstrations='{}demonstrations')}"
    folder = options.runs / f"hybrid-{about}-{options.episodes}goals{'-tune' * options.tune}"
    starts = frozen_starts(goals, options.episodes, TUNING_SEED if options.tune else world.evaluation_seed, folder)
    outcomes = []
    for run in runs:
        seed = int(run.name.rpartition("-seed")[2])
        learned = folder.parent / f"act_jepa-{about}-seed{seed}"
        cloned = once(learned, partial(learn, options, open_store(recording(options, seed)), seed))
        found = once(folder / f"seed{seed}", partial(evaluate_all, options, run, learned, goals, starts))
        outcomes.append({**cloned, **found})
    floors = references(goals, starts, folder / "references", {"expert": ScriptedPolicy(world.env_id)})
    title = f"{WORLD}: {len(runs)} seeds x {options.episodes} goals"
    CONSOLE.print(success_table(title, outcomes, floors, f"hybrid, std {options.hybrid_stds[0]:g}"))


def recording(options: Options, seed: int) -> Path:
    """What the world model of a seed learned from."""
    path = options.runs.parent / f"{WORLD}-seed{seed}.hdf5"
    if not path.exists():
        raise SystemExit(f"the recording {path} is not there; world_model.py makes it")
    return path


def learn(options: Options, store: Store, seed: int, folder: Path) -> dict[str, Any]:
    """ACT-JEPA from the expert's episodes, which come after the random walks."""
    world = WORLDS[WORLD]
    walks = world.episodes - round(world.episodes * world.expert_share)
    shown = split(store)[0]
    shown = shown[shown >= walks]
    if options.demonstrations is not None:
        shown = np.sort(np.random.default_rng(seed).permutation(shown)[: options.demonstrations])
    config = replace(act_jepa.small(), state_keys=STATES)
    budget = Budget(cpu_minutes=options.cpu_minutes)
    return train("act_jepa", config, store, shown, np.array([], int), seed, budget, folder)


def evaluate_all(
    options: Options, run: Path, learned: Path, goals: Task, starts: Manifest, folder: Path
) -> dict[str, Any]:
    """ACT-JEPA alone, planning alone, and plans around ACT-JEPA's chunk, one for each spread."""
    model, chunks = from_pretrained(run), from_pretrained(learned)
    block = model.origin.config.stride
    planner, how = search(WORLDS[WORLD], block, options.samples, options.iterations)
    policies: dict[str, Policy] = {
        f"hybrid, std {std:g}": HybridPolicy(model, chunks, replace(planner, std=std), **how)
        for std in options.hybrid_stds
    }
    policies["planning"] = MPCPolicy(model, planner, **how)
    policies["ACT-JEPA"] = ChunkPolicy(chunks, n_action_steps=block)
    return {"evaluations": {name: solve(policy, goals, starts, name, folder) for name, policy in policies.items()}}


if __name__ == "__main__":
    main(tyro.cli(Options))
