"""The training loop: read `fit` first, the rest of the file are its sentences."""

import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from tensordict import TensorDict
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from worldjepa.learner import Learner
from worldjepa.train.average import WeightAverage
from worldjepa.train.checkpoint import Checkpoints
from worldjepa.train.compiling import compile_errors_explained, compile_parts
from worldjepa.train.config import FitConfig
from worldjepa.train.guard import Batches, FiniteGuard, Locate
from worldjepa.train.log import Means, MetricsLog
from worldjepa.train.optimizer import make_optimizer, set_learning_rate
from worldjepa.train.progress import ProgressView
from worldjepa.train.schedule import Clock, learning_rate
from worldjepa.train.sharding import distribute, gather, make_accelerator
from worldjepa.train.snapshot import Run
from worldjepa.train.state import seed_all, unperturbed


@dataclass(frozen=True)
class FitResult:
    """How a run ended."""

    steps: int
    """Optimiser steps made, over all sessions."""
    seconds: float
    """Training time [s], over all sessions."""
    checkpoint: Path
    """Folder of the last checkpoint; its ``pretrained_model`` is the result."""
    metrics: dict[str, float]
    """The last row of metrics; empty if the run was already over."""


def fit(
    learner: Learner,
    batch: Batches,
    config: FitConfig,
    run_dir: Path,
    *,
    save_pretrained: Callable[[Learner, Path], object],
    resume: bool = False,
    progress: bool = True,
    evaluate: Callable[[Learner, int], dict[str, float]] | None = None,
    locate: Locate | None = None,
) -> FitResult:
    """Train a learner; the same call runs on one CPU, one GPU or, under torchrun, on many processes and machines.

    One step: ``accumulate`` batches -> mean gradient, clipped -> AdamW -> target update -> weight average.

    Args:
        learner: trained in place; its loss is a mean over all processes, see `objectives.reduce`.
        batch: gives batch number ``step * accumulate + part`` in raw units; it may reuse its buffers.
        config: the training's settings.
        run_dir: receives ``metrics.jsonl``, ``tensorboard/`` and ``checkpoints/``. On a disk that all machines see.
        save_pretrained: (learner, folder) -> writes the exported weights, averaged if ``config.average``.
        resume: continue from the newest checkpoint in ``run_dir``, or start if there is none.
        progress: show a bar (terminal) or lines (elsewhere) on standard error.
        evaluate: (learner with the exported weights in eval mode, step) -> scalars to log; called in every process.
        locate: names the rows of a batch, such as (episode, step), for the error that stops a run with NaN.

    Raises:
        ValueError: ``run_dir`` holds checkpoints and ``resume`` is False; they are of another recipe or configuration.
        FloatingPointError: a loss or gradient is not finite; names the step and the windows.
        OSError: a checkpoint could not be written; the last good one stays.
    """
    accelerator = make_accelerator(config)
    run_dir, main = Path(run_dir), accelerator.is_main_process
    checkpoints = _open(run_dir, config, resume, main)
    model, run = _prepare(learner, accelerator, config)
    found = checkpoints.steps()
    step, seconds = run.restore(checkpoints.path(found[-1]) / "training_state") if found else (0, 0.0)

    clock = Clock(config, seconds)
    guard = FiniteGuard(accelerator, batch, locate, config.accumulate)
    means = Means()
    row: dict[str, float] = {}
    done = _done(clock, step, accelerator)
    with MetricsLog(run_dir, step, main) as log, ProgressView(main and progress, config.steps, done) as view:
        while done < 1:
            rate = set_learning_rate(run.optimizer, learning_rate(config, step, done))
            scalars = _backward(model, batch, step, accelerator, config)
            scalars["grad_norm"] = _clip(learner, config.grad_clip)
            run.optimizer.step()
            run.optimizer.zero_grad()
            learner.update_target(step)
            guard.watch(step, scalars["loss"], scalars["grad_norm"])
            means.add(scalars)
            step += 1
            if run.average:
                run.average.update(step)
            done = _done(clock, step, accelerator)

            if due := _due(config, step, done >= 1):
                guard.check()
                seconds = clock.seconds
                row = _row(step, seconds, rate, means, accelerator)
                with clock.paused(), unperturbed(learner):
                    if "monitor" in due:
                        row |= learner.diagnostics(_rows(batch, step * config.accumulate, accelerator))
                    if "evaluate" in due and evaluate:
                        row |= evaluate(run.refresh_export().eval(), step)
                    log.write(row)
                    if "save" in due:
                        _save(run, checkpoints, step, seconds, save_pretrained)
            view.update(step, done, row)
    return FitResult(step, clock.seconds, checkpoints.path(step), row)


def _open(run_dir: Path, config: FitConfig, resume: bool, main: bool) -> Checkpoints:
    """The run's checkpoints, cleaned of what a killed session left."""
    checkpoints = Checkpoints(run_dir / "checkpoints", keep_last=config.keep_last, keep_every=config.keep_every)
    if checkpoints.steps() and not resume:
        raise ValueError(
            f"{run_dir} already holds checkpoints up to step {checkpoints.steps()[-1]}: "
            "resume that run, or choose another folder"
        )
    if main:
        run_dir.mkdir(parents=True, exist_ok=True)
        checkpoints.clean()
    return checkpoints


def _prepare(learner: Learner, accelerator: Accelerator, config: FitConfig) -> tuple[nn.Module, Run]:
    """What is called with batches, and the parts of the run."""
    if config.threads:
        torch.set_num_threads(config.threads)
    seed_all(config.seed + accelerator.process_index)
    apart = config.sharded or config.average
    export = copy.deepcopy(learner).to(accelerator.device) if apart else learner
    if config.compile:
        compile_parts(learner)
    model = distribute(learner, accelerator, config)
    model.train()
    average = WeightAverage(learner, config.average) if config.average else None
    return model, Run(learner, make_optimizer(learner, config), average, export, config, accelerator)


@compile_errors_explained()
def _backward(
    model: nn.Module, batch: Batches, step: int, accelerator: Accelerator, config: FitConfig
) -> dict[str, Tensor]:
    """Mean gradient over the batches of one step; returns the mean scalars, detached."""
    total: dict[str, Tensor] = {}
    for part in range(config.accumulate):
        rows = _rows(batch, step * config.accumulate + part, accelerator)
        last = part == config.accumulate - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                scalars = model(rows)
            accelerator.backward(scalars["loss"] / config.accumulate)
        for name, value in scalars.items():
            share = value.detach() / config.accumulate
            total[name] = total[name] + share if name in total else share
    return total


def _rows(batch: Batches, number: int, accelerator: Accelerator) -> TensorDict:
    """This process's rows of a batch, on its device."""
    return batch(number, accelerator.process_index, accelerator.num_processes).to(accelerator.device)


def _clip(learner: Learner, longest: float) -> Tensor:
    """Scale the gradient to at most ``longest`` (0: leave it); returns its norm before."""
    norm = nn.utils.clip_grad_norm_(learner.parameters(), longest or math.inf)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _due(config: FitConfig, step: int, last: bool) -> set[str]:
    """What has to be done after this step; empty most of the time."""
    every = {
        "log": config.log_every,
        "monitor": config.monitor_every,
        "evaluate": config.evaluate_every,
        "save": config.save_every,
    }
    due = {name for name, steps in every.items() if steps and step % steps == 0}
    return due | {"log", "evaluate", "save"} if last else due


def _done(clock: Clock, step: int, accelerator: Accelerator) -> float:
    """Fraction of the run that is over, by the first process's clock in all of them."""
    if not clock.timed or accelerator.num_processes == 1:
        return clock.done(step)
    done = torch.tensor([clock.done(step)], device=accelerator.device, dtype=torch.float32)
    torch.distributed.broadcast(done, 0)
    return float(done)


def _row(step: int, seconds: float, rate: float, means: Means, accelerator: Accelerator) -> dict[str, float]:
    """One row of metrics: means since the last row, over all processes."""
    names, values = means.take()
    values = gather(accelerator, values[None]).mean(0).tolist()
    return {"step": step, "time_s": round(seconds, 3), "lr": rate, **dict(zip(names, values))}


def _save(
    run: Run, checkpoints: Checkpoints, step: int, seconds: float, save_pretrained: Callable[[Learner, Path], object]
) -> None:
    """One checkpoint, gathered by all processes and written by the first."""
    export, write_state = run.refresh_export(), run.take(step, seconds)

    def write(folder: Path) -> None:
        save_pretrained(export, folder / "pretrained_model")
        write_state(folder / "training_state")

    if run.accelerator.is_main_process:
        checkpoints.save(step, write)
