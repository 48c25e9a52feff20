"""Meta-World from scripted demonstrations: ACT-JEPA, ACT and BC with one budget of CPU time, several tasks and seeds.

    python examples/benchmarks/meta_world.py --cpu-minutes 1
    python examples/benchmarks/meta_world.py --tasks window-open coffee-push --seeds 0 1 --episodes 20

Every run is resumable: start the same command again and it goes on where it stopped. Each task has its own policies.
Training and evaluation starts are apart, and `--tune` evaluates on others than the reported ones; they are drawn once
and saved beside the runs. The policies see states: the hand, the objects and the goal.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from study import (
    Budget,
    Outcome,
    by_method,
    changed,
    frozen_starts,
    probe,
    probe_errors,
    probe_table,
    read_outcome,
    references,
    text,
    train,
)

from worldjepa.data import Store, open_store
from worldjepa.data.collect import collect
from worldjepa.data.task import Task
from worldjepa.evaluate.compare import compare_seeds
from worldjepa.evaluate.manifest import Manifest
from worldjepa.evaluate.rollout import Evaluation, evaluate, task
from worldjepa.evaluate.statistics import Interval
from worldjepa.recipes import act_jepa, bc
from worldjepa_policies import ScriptedPolicy, load_policy

METHODS = ("act_jepa", "act", "bc")
NUM_VALID = 10
"""Further demonstrations of a task, held out for the probe."""
COLLECTION_SEED, EVALUATION_SEED, TUNING_SEED = 11, 2027, 77
STATES, PROBED = ("hand", "object", "goal"), ("hand", "object")
CONSOLE = Console(width=120)


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    tasks: tuple[str, ...] = ("button-press-topdown", "drawer-open", "coffee-pull")
    """Meta-World's names."""
    out: Path = Path("runs/metaworld")
    """Folder of demonstrations and runs."""
    methods: tuple[str, ...] = METHODS
    """act_jepa, act, bc."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    demos: int = 40
    """Demonstrations of a task to learn from."""
    cpu_minutes: float = 1.0
    """CPU time of one training, on one thread."""
    steps: int | None = None
    """Optimiser steps instead of a time budget."""
    episodes: int = 50
    """Evaluation episodes of a run."""
    n_action_steps: int = 8
    """Actions executed of each chunk."""
    batch_size: int = 64
    """Windows in a batch."""
    lr: float = 1e-3
    """Peak learning rate."""
    tune: bool = False
    """Evaluate on tuning starts."""


def main(args: Args) -> None:
    """Collect, train and evaluate what is missing, then print the tables."""
    torch.set_num_threads(1)
    stores = {name: demonstrations(name, args) for name in args.tasks}
    starts, floors = {}, {}
    for name in args.tasks:
        env, seed = environment(name), TUNING_SEED if args.tune else EVALUATION_SEED
        starts[name] = frozen_starts(env, args.episodes, seed, args.out / name)
        folder = args.out / name / f"references-{args.episodes}-seed{seed}"
        floors[name] = references(env, starts[name], folder, {"expert": expert(name)})
    outcomes: dict[str, list[Outcome]] = {name: [] for name in args.tasks}
    for seed, name, method in product(args.seeds, args.tasks, args.methods):  # seeds outermost: early tables are whole
        folder = args.out / name / setting(args) / f"{method}-seed{seed}"
        if not (folder / "outcome.json").exists():
            CONSOLE.rule(f"{name}, {method}, seed {seed}")
            outcome = run(args, name, method, seed, folder, stores[name], starts[name])
            (folder / "outcome.json").write_text(json.dumps(outcome, indent=1) + "\n")
        outcomes[name].append(read_outcome(folder, method, seed))
    for name, found in outcomes.items():
        CONSOLE.print(success_table(name, found, floors[name]))
        CONSOLE.print(probe_table(found, f"{name}: states 16 steps ahead, linear probe, held-out demonstrations"))
    if len(args.seeds) > 1:
        CONSOLE.print(mean_table(outcomes))


def setting(args: Args) -> str:
    """Folder name of everything but task, method and seed."""
    budget = f"{args.steps}steps" if args.steps else f"{args.cpu_minutes:g}min"
    others = changed(args, n_action_steps="{}executed", lr="lr{:g}", batch_size="batch{}")
    return f"{budget}-{args.demos}demos-{args.episodes}episodes" + "-tune" * args.tune + others


def environment(name: str) -> Task:
    """The task, states observed, 200 steps at most."""
    return task(f"worldjepa_envs:worldjepa/MetaWorld-{name}-v0")


def expert(name: str) -> ScriptedPolicy:
    """Meta-World's scripted policy of a task."""
    return ScriptedPolicy(f"worldjepa/MetaWorld-{name}-v0")


def demonstrations(name: str, args: Args) -> Store:
    """Solved episodes of the scripted expert without noise, the last `NUM_VALID` for the probe; recorded once."""
    path = args.out / name / f"{args.demos}demos.hdf5"
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        count = args.demos + NUM_VALID
        found = collect(environment(name), expert(name), part, count, seed=COLLECTION_SEED, only_success=True)
        CONSOLE.print(f"{name}: {count} demonstrations, {found.num_steps} steps, of {found.num_tried} tried")
        part.rename(path)
    return open_store(path)


def configuration(method: str) -> Any:
    """Configuration of a method; all see the present frame only. ACT and ACT-JEPA differ in the latent loss alone."""
    if method == "bc":
        return bc.Config(state_keys=STATES, distance="l1")
    # the perceptron head makes three times as many steps in the budget as the published decoder
    config = replace(act_jepa.small(), history=1, state_keys=STATES, stride=4, head="mlp")
    return {"act_jepa": config, "act": act_jepa.act(config)}[method]


def run(args: Args, name: str, method: str, seed: int, folder: Path, store: Store, starts: Manifest) -> dict[str, Any]:
    """Train (or go on), evaluate and probe one method with one seed on one task."""
    training, held_out = np.split(np.arange(len(store)), [args.demos])
    budget = Budget(
        cpu_minutes=args.cpu_minutes, steps=args.steps, batch_size=args.batch_size, lr=args.lr, warmup=100, average=0.99
    )
    trained = train(method, configuration(method), store, training, training[:0], seed, budget, folder)
    policy = load_policy(folder, n_action_steps=None if method == "bc" else args.n_action_steps)
    found = evaluate(policy, environment(name), starts, name=method, num_envs=10, out_of_bounds="clip", progress=True)
    found.save(folder)
    return {**trained, "probe": probe(folder, store, training, held_out, PROBED)}


def success_table(name: str, outcomes: Sequence[Outcome], references: dict[str, Evaluation]) -> Table:
    """Success of each method over seeds, the differences, expert and floors; median steps of solved episodes."""
    methods = by_method(outcomes)
    seeds, episodes = len(outcomes) // len(methods), len(outcomes[0].evaluation.episodes)
    title = f"{name}: {seeds} training seeds x {episodes} episodes"
    table = Table("policy", "success", "each seed", "steps to success", "clipped", "trained steps", title=title)
    compared = compare(methods) if seeds > 1 else None
    for method, found in methods.items():
        results = [o.evaluation for o in found]
        rate = Interval(**compared["methods"][method]["success"]) if compared else results[0].rate
        each = " ".join(f"{e.rate.estimate:.2f}" for e in results)
        table.add_row(method, text(rate), each, *behaviour(results), f"{np.mean([o.steps for o in found]):.0f}")
    for pair in (compared or {"pairs": []})["pairs"]:
        difference = text(Interval(**pair["success"]), sign=True)
        table.add_row(f"{pair['a']} - {pair['b']}", difference, style="bold")
    for policy, found in references.items():
        table.add_row(policy, text(found.rate), "", *behaviour([found]), style="dim")
    return table


def compare(methods: dict[str, list[Outcome]]) -> dict[str, Any]:
    """`compare_seeds` of outcomes; intervals speak of new training seeds and new starts."""
    return compare_seeds({method: [o.evaluation for o in found] for method, found in methods.items()})


def behaviour(evaluations: Sequence[Evaluation]) -> tuple[str, str]:
    """Median steps of the solved episodes, and the share of steps whose action was clipped."""
    episodes = [episode for e in evaluations for episode in e.episodes]
    solved = [e.steps_to_success for e in episodes if e.steps_to_success is not None]
    clipped = sum(e.num_clipped for e in episodes) / sum(e.steps for e in episodes)
    return f"{np.median(solved):.0f}" if solved else "-", f"{clipped:.1%}"


def mean_table(outcomes: dict[str, list[Outcome]]) -> Table:
    """Means over the tasks, each task counting the same, and the probe's error relative to ACT's."""
    found = {name: compare(by_method(o)) for name, o in outcomes.items()}
    table = Table("policy", "mean success", title=f"mean over {len(found)} tasks")
    first = next(iter(found.values()))
    for method in first["methods"]:
        table.add_row(method, text(mean([Interval(**f["methods"][method]["success"]) for f in found.values()])))
    for i, pair in enumerate(first["pairs"]):
        intervals = [Interval(**f["pairs"][i]["success"]) for f in found.values()]
        table.add_row(f"{pair['a']} - {pair['b']}", text(mean(intervals), sign=True), style="bold")
    if {"act_jepa", "act"} <= set(first["methods"]):
        ratios = []
        for runs in outcomes.values():
            jepa, act = (np.mean(probe_errors(by_method(runs)[m], m)[0]) for m in ("act_jepa", "act"))
            ratios.append(jepa / act - 1)
        table.add_row("probe RMSE, act_jepa to act", " ".join(f"{r:+.1%}" for r in ratios))
    return table


def mean(intervals: Sequence[Interval]) -> Interval:
    """Mean of independent estimates, their margins added in squares (an interval that is a little too wide)."""
    middle = np.array([i.estimate for i in intervals])
    below = np.array([i.estimate - i.low for i in intervals])
    above = np.array([i.high - i.estimate for i in intervals])
    margins = [float(np.sqrt((m**2).sum())) / len(intervals) for m in (below, above)]
    return Interval(float(middle.mean()), float(middle.mean()) - margins[0], float(middle.mean()) + margins[1])


if __name__ == "__main__":
    main(tyro.cli(Args))
