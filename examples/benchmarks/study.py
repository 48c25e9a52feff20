"""What the benchmarks that train policies share: a training with a budget, evaluations, their records, and tables."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from scipy import stats
from tensordict import TensorDict
from torch import Tensor

from worldjepa.data import Store
from worldjepa.data.task import Task
from worldjepa.evaluate.compare import compare_seeds
from worldjepa.evaluate.floors import evaluate_floors
from worldjepa.evaluate.manifest import Manifest, make_manifest
from worldjepa.evaluate.probe import probe_report, probe_windows, raw_features, state_probe
from worldjepa.evaluate.rollout import Evaluation, evaluate
from worldjepa.evaluate.statistics import Interval
from worldjepa.learner import Learner
from worldjepa.recipes import fit_statistics, from_pretrained, make_learner, recipe, save_pretrained
from worldjepa.recipes.keys import Window
from worldjepa.train import FitConfig, fit
from worldjepa.train.fit import Batches
from worldjepa.types import Policy

CONSOLE = Console(width=150)
PROBE_HORIZON = 16
"""Steps ahead that the probe asks for."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and how to train, the same for all methods of a study."""

    cpu_minutes: float
    """CPU time on one thread; wall minutes on an accelerator."""
    steps: int | None = None
    """Optimiser steps instead of time."""
    batch_size: int = 128
    lr: float = 1e-3
    warmup: int = 300
    average: float = 0.998
    device: Literal["cpu", "auto"] = "cpu"
    precision: Literal["no", "bf16"] = "no"

    def settings(self, seed: int) -> FitConfig:
        """The training loop's settings."""
        on_cpu = self.device == "cpu" or not torch.cuda.is_available()
        return FitConfig(
            steps=self.steps,
            max_seconds=None if self.steps else 60 * self.cpu_minutes,
            clock="cpu" if on_cpu else "wall",
            device=self.device,
            threads=1 if on_cpu else None,
            precision=self.precision,
            batch_size=self.batch_size,
            lr=self.lr,
            lr_final=0.02,
            warmup=self.warmup,
            weight_decay=1e-3,
            betas=(0.9, 0.95),
            average=self.average,
            seed=seed,
            evaluate_every=0,
            save_every=1000,
            monitor_every=1000,
        )


@dataclass(frozen=True)
class Outcome:
    """One finished run."""

    method: str
    seed: int
    steps: int
    evaluation: Evaluation
    probe: dict[str, Any]
    """What `probe_report` gives."""


def train(
    name: str,
    config: Any,
    store: Store,
    labelled: ndarray,
    extra: ndarray,
    seed: int,
    budget: Budget,
    folder: Path,
) -> dict[str, Any]:
    """Train a recipe, or go on where it stopped; returns steps, seconds, trained parameters and the last metrics.

    Args:
        name, config: recipe and its configuration.
        store: the demonstrations.
        labelled: episodes to learn actions from.
        extra: further episodes whose actions are not learned: half as many windows, beside a whole batch with actions.
        seed: of weights and of the order of the windows.
        budget: how long.
        folder: of the run.
    """
    window = recipe(name).window(config, store.spec)
    batches = _windows(store, window, labelled, budget.batch_size, seed)
    if len(extra):
        batches = _side_by_side(batches, _windows(store, window, extra, budget.batch_size // 2, seed, labelled=False))
    torch.manual_seed(seed)
    learner = make_learner(name, config, store.spec, fit_statistics(config, store, labelled))
    settings = budget.settings(seed)
    result = fit(learner, batches, settings, folder, save_pretrained=save_pretrained, resume=True)
    return {
        "steps": result.steps,
        "train_seconds": result.seconds,
        "parameters": sum(p.numel() for p in learner.parameters() if p.requires_grad),
        "metrics": result.metrics,
    }


def _windows(
    store: Store, window: Window, episodes: ndarray, batch_size: int, seed: int, *, labelled: bool = True
) -> Batches:
    unlabelled = () if labelled else episodes
    return window.sampler(store, episodes=episodes, unlabelled=unlabelled, batch_size=batch_size, seed=seed).batch


def _side_by_side(first: Batches, second: Batches) -> Batches:
    return lambda number, rank, world: TensorDict.cat([first(number, rank, world), second(number, rank, world)])


def probe(
    folder: Path,
    store: Store,
    training: ndarray,
    held_out: ndarray,
    state_keys: tuple[str, ...],
    *,
    max_windows: int = 8000,
) -> dict[str, Any]:
    """World-model probe of a run's encoder beside its floors, on held-out demonstrations."""
    learner = from_pretrained(folder)
    name, config = learner.origin.recipe, learner.origin.config
    fresh = make_learner(name, config, store.spec, fit_statistics(config, store, training)).eval()
    window = recipe(name).window(config, store.spec)
    windows = [
        probe_windows(
            store,
            episodes,
            state_keys=state_keys,
            keys=window.keys,
            history=window.history,
            horizon=PROBE_HORIZON,
            max_windows=max_windows,
            reference=training,
        )
        for episodes in (training, held_out)
    ]
    models = {name: _features(learner), "random init": _features(fresh), "raw state": raw_features}
    return probe_report(state_probe(models, *windows), PROBE_HORIZON)


def _features(learner: Learner) -> Callable[[TensorDict], Tensor]:
    return lambda obs: learner.encode(obs).flatten(1)


def read_outcome(folder: Path, method: str, seed: int) -> Outcome:
    """What the tables need of a finished run: its outcome.json and its evaluation."""
    outcome = json.loads((folder / "outcome.json").read_text())
    evaluation = Evaluation.load(folder / "evaluations" / f"{method.replace(':', '-')}.json")
    return Outcome(method, seed, outcome["steps"], evaluation, outcome["probe"])


def by_method(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Outcomes by method, in the order in which methods first occur."""
    return {o.method: [x for x in outcomes if x.method == o.method] for o in outcomes}


def probe_errors(outcomes: Sequence[Outcome], model: str) -> tuple[list[float], list[float]]:
    """RMSE and ATE of a model (the method's own encoder, or a floor) in each run."""
    rows = [next(r for r in o.probe["rows"] if r["model"] == model) for o in outcomes]
    return [r["rmse"] for r in rows], [r["ate"] for r in rows]


def probe_table(outcomes: Sequence[Outcome], title: str) -> Table:
    """RMSE and ATE of each encoder over seeds, floors once; then the first method's RMSE relative to each other one's.

    Brackets are Student's 95 % intervals for new training seeds. The ratio is taken seed by seed, so that data that a
    seed draws for all methods alike do not widen its interval; where a seed draws none, the pairs are arbitrary, and
    the interval is valid all the same.
    """
    table = Table("encoder", "RMSE", "ATE", "per seed RMSE", title=title)
    methods = by_method(outcomes)
    own = {method: probe_errors(found, method.split(":")[0])[0] for method, found in methods.items()}
    for i, (method, found) in enumerate(methods.items()):
        for model in [method.split(":")[0], "random init", *([] if i else ["raw state", "copy"])]:
            rmse, ate = probe_errors(found, model)
            label = {method.split(":")[0]: method, "random init": f"random init ({method})"}.get(model, model)
            each = " ".join(f"{x:.4f}" for x in rmse)
            table.add_row(label, over_seeds(rmse, digits=4), f"{np.mean(ate):.4f}", each)
    first, *others = own
    for other in others:
        percent = [100 * (a / b - 1) for a, b in zip(own[first], own[other], strict=True)]
        each = " ".join(f"{x:+.1f}" for x in percent)
        table.add_row(f"{first} to {other}, %", over_seeds(percent, sign=True, digits=1), "", each, style="bold")
    return table


def over_seeds(values: Sequence[float], *, sign: bool = False, digits: int = 3) -> str:
    """Mean of one number a training seed, with Student's 95 % interval where there are several."""
    several = len(values) > 1
    found = text(student(values) if several else Interval(values[0], values[0], values[0]), sign=sign, digits=digits)
    return found if several else found.partition(" ")[0]


def student(values: Sequence[float]) -> Interval:
    """Mean of one number for each of several training seeds, with Student's 95 % interval for new ones."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(stats.sem(values))
    return Interval(mean, mean - half, mean + half)


def once(folder: Path, run: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The outcome in a folder, made if it is not there; ``run`` gets the folder and returns JSON values."""
    path = folder / "outcome.json"
    if not path.exists():
        CONSOLE.rule(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.process_time()
        outcome = run(folder)
        outcome["cpu_seconds"] = time.process_time() - begun
        part = path.with_suffix(f".part{os.getpid()}")  # two processes may make the same outcome
        part.write_text(json.dumps(outcome, indent=1) + "\n")
        part.replace(path)  # a killed process leaves the whole outcome or none
    return {**json.loads(path.read_text()), "folder": folder}


def solve(policy: Policy, task: Task, starts: Manifest, name: str, folder: Path) -> str:
    """Evaluate from the same starts as every other policy; returns the file."""
    file = name.replace(" ", "_").replace("(", "").replace(")", "")
    found = evaluate(policy, task, starts, name=file, out_of_bounds="clip", progress=True)
    return str(found.save(folder))


def frozen_starts(task: Task, n: int, seed: int, folder: Path) -> Manifest:
    """The starts of all runs below a folder: its saved ones, or drawn and saved.

    Raises:
        ValueError: an evaluation below the folder was made on other starts of the same seed.
    """
    path = folder / f"starts-{n}-seed{seed}.json"
    starts = Manifest.load(path) if path.exists() else make_manifest(task, n, seed)
    starts.check_task(task)
    for file in sorted(folder.rglob("evaluations/*.json")):
        found = Evaluation.load(file)
        shared = {episode.seed for episode in found.episodes} & {*starts.seeds}
        if len(found.episodes) == n and shared and found.manifest["sha256"] != starts.sha256:
            raise ValueError(
                f"{file} was evaluated on other starts than those of {path} (manifests "
                f"{found.manifest['sha256'][:12]}, with {found.versions}, and {starts.sha256[:12]}, with "
                f"{starts.versions}); restore the file or the versions, or choose another folder"
            )
    return starts if path.exists() else starts.save(path)


def changed(args: Any, **forms: str) -> str:
    """The named arguments that differ from their defaults, for a folder's name: lr="lr{:g}" gives -lr0.0003."""
    values = {name: getattr(args, name) for name in forms}
    return "".join(f"-{forms[k].format(v)}" for k, v in values.items() if v != getattr(type(args), k))


def references(
    task: Task, starts: Manifest, folder: Path, others: Mapping[str, Policy] | None = None
) -> dict[str, Evaluation]:
    """Other policies, the random and the no-op one, from the same starts; run once."""
    others = others or {}
    paths = {name: folder / "evaluations" / f"{name}.json" for name in (*others, "random", "noop")}
    if not all(path.exists() for path in paths.values()):
        for name, policy in others.items():
            evaluate(policy, task, starts, name=name, out_of_bounds="clip").save(folder)
        for found in evaluate_floors(task, starts, out_of_bounds="clip").values():
            found.save(folder)
    return {name: Evaluation.load(path) for name, path in paths.items()}


def success_table(
    title: str, outcomes: Sequence[dict[str, Any]], found_once: dict[str, Evaluation], first: str
) -> Table:
    """Success of every policy over seeds, 95th percentile of milliseconds an action (that of planners is a plan),
    steps of training.

    Args:
        title: of the table.
        outcomes: of `once`, with "steps" and "evaluations", {policy: file}.
        found_once: evaluations that no training seed changes.
        first: the policy whose differences to the others are shown.
    """
    table = Table("policy", "success", "each seed", "ms an action, p95", "trained steps", title=title)
    found: dict[str, list[Evaluation]] = {}
    steps: dict[str, list[int]] = {}
    for outcome in outcomes:
        for name, path in outcome["evaluations"].items():
            found.setdefault(name, []).append(Evaluation.load(Path(path)))
            steps.setdefault(name, []).append(outcome["steps"])
    several = min(map(len, found.values())) > 1
    compared = compare_seeds(found) if several else None
    for name, evaluations in found.items():
        rate = Interval(**compared["methods"][name]["success"]) if compared else evaluations[0].rate
        each = " ".join(f"{e.rate.estimate:.2f}" for e in evaluations)
        speed = np.mean([e.ms_per_action["p95"] for e in evaluations])
        table.add_row(name, text(rate), each, f"{speed:.1f}", f"{np.mean(steps[name]):.0f}")
    for pair in (compared or {"pairs": []})["pairs"]:
        if pair["a"] == first:
            table.add_row(f"{pair['a']} - {pair['b']}", text(Interval(**pair["success"]), sign=True), style="bold")
    for name, evaluation in found_once.items():
        table.add_row(name, text(evaluation.rate), "", "", "", style="dim")
    return table


def text(interval: Interval, *, sign: bool = False, digits: int = 3) -> str:
    """An estimate with its interval in brackets; no interval where all outcomes were the same."""
    form = f"{'+' * sign}.{digits}f"
    if interval.low == interval.high:
        return f"{interval.estimate:{form}} (no spread)"
    return f"{interval.estimate:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
