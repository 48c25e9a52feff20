"""The whole state of a run: taken, written into a checkpoint, read back and checked against the run that resumes."""

import dataclasses
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from worldjepa.learner import Learner
from worldjepa.train.average import WeightAverage
from worldjepa.train.checkpoint import read_json, read_tensors, write_json, write_tensors
from worldjepa.train.config import FitConfig
from worldjepa.train.state import (
    load_optimizer,
    load_rng,
    load_tensors,
    module_tensors,
    optimizer_tensors,
    rng_tensors,
    whole,
)

FREE_TO_CHANGE = {
    "threads", "device", "log_every", "monitor_every", "evaluate_every", "save_every", "keep_last", "keep_every",
}  # fmt: skip
"""Fields of FitConfig that a resumed run may change: they do not say which weights come out."""

log = logging.getLogger(__name__)


@dataclass
class Run:
    """The parts of a run that a checkpoint holds."""

    learner: Learner
    optimizer: Optimizer
    average: WeightAverage | None
    export: Learner
    """A plain module of the learner's kind, for evaluation and export; the learner itself where that will do."""
    config: FitConfig
    accelerator: Accelerator

    def refresh_export(self) -> Learner:
        """``export`` with the averaged (or raw) weights of now. Every process must call this."""
        if self.export is not self.learner:
            live = self.learner.state_dict() if self.average is None else self.average.state
            load_tensors(self.export.state_dict(), {name: whole(value) for name, value in live.items()}, "the average")
        return self.export

    def take(self, step: int, seconds: float) -> Callable[[Path], None]:
        """Gather everything (every process must call this) and return what writes it (for one of them)."""
        files: dict[str, dict[str, Tensor]] = {"model": module_tensors(self.learner)}
        files["optimizer"], values = optimizer_tensors(self.optimizer, self.learner)
        files["rng"] = rng_tensors(self.accelerator)
        if self.average is not None:
            files["average"] = {name: whole(value) for name, value in self.average.state.items()}
        about = {"step": step, "seconds": seconds, "processes": self.accelerator.num_processes, **self._identity()}

        def write(folder: Path) -> None:
            folder.mkdir()
            for name, tensors in files.items():
                write_tensors(folder / f"{name}.safetensors", tensors)
            write_json(folder / "optimizer.json", values)
            write_json(folder / "step.json", about)

        return write

    def restore(self, folder: Path) -> tuple[int, float]:
        """Continue from ``training_state`` folder ``folder``; returns the step and the training time in seconds.

        Raises:
            ValueError: the checkpoint is that of another recipe, model or configuration, or damaged.
        """
        about = read_json(folder / "step.json")
        self._compare(about, folder)
        load_tensors(self.learner.state_dict(), read_tensors(folder / "model.safetensors"), str(folder))
        if self.average is not None:
            load_tensors(self.average.state, read_tensors(folder / "average.safetensors"), str(folder))
        tensors, values = read_tensors(folder / "optimizer.safetensors"), read_json(folder / "optimizer.json")
        load_optimizer(self.optimizer, self.learner, tensors, values)
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        if about["processes"] == processes:
            load_rng(read_tensors(folder / "rng.safetensors"), rank)
        else:
            log.warning("%d processes resume a run of %d: random states start anew", processes, about["processes"])
        return about["step"], about["seconds"]

    def _identity(self) -> dict[str, Any]:
        """Recipe, its configuration and that of the training, as JSON values."""
        origin = self.learner.origin
        parts = {"config": origin.config, "spec": origin.spec, "fit": self.config}
        return {"recipe": origin.recipe, **{name: as_json(value) for name, value in parts.items()}}

    def _compare(self, about: dict[str, Any], folder: Path) -> None:
        mine = self._identity()
        if about["recipe"] != mine["recipe"]:
            raise ValueError(
                f"cannot resume: {folder} was trained by recipe {about['recipe']!r}, this run is {mine['recipe']!r}; "
                "use the same recipe or another run folder"
            )
        ignore = {f"fit.{name}" for name in FREE_TO_CHANGE}
        then, now = (_flat({part: which[part] for part in ("config", "spec", "fit")}) for which in (about, mine))
        changed = [k for k in sorted(then.keys() | now.keys()) if k not in ignore and then.get(k) != now.get(k)]
        if changed:
            told = "; ".join(f"{k} was {then.get(k)!r}, now {now.get(k)!r}" for k in changed)
            raise ValueError(
                f"cannot resume: the configuration differs from that of {folder}: {told}. "
                "Use the configuration of the run or another run folder"
            )


def as_json(value: Any) -> Any:
    """What JSON makes of a (dataclass) value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.loads(json.dumps(value, default=str))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}".lstrip(".")).items()}
