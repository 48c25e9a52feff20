"""Metrics of a run: ``metrics.jsonl`` and TensorBoard, cut back to the resumed step."""

import contextlib
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter


class Means:
    """Running means of named scalars, on their device until they are read."""

    def __init__(self):
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Take in one value of each scalar."""
        for name, value in scalars.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> tuple[list[str], Tensor]:
        """Names and means [n] since the last call, float32; starts anew."""
        names = sorted(self._sums)
        means = [(self._sums[name] / self._counts[name]).float().reshape(()) for name in names]
        self._sums, self._counts = {}, {}
        return names, torch.stack(means)


class MetricsLog:
    """Writes one row of scalars at a time; a context manager.

    Args:
        run_dir: ``metrics.jsonl`` and ``tensorboard/`` are written here.
        step: rows after this step, left by a killed session, are dropped.
        enabled: False writes nothing (all processes but the first).
    """

    def __init__(self, run_dir: Path, step: int, enabled: bool = True):
        self._open = contextlib.ExitStack()
        self._enabled = enabled
        if enabled:
            path = run_dir / "metrics.jsonl"
            _cut(path, step)
            self._file = self._open.enter_context(path.open("a"))
            self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=step + 1, flush_secs=30)
            self._open.callback(self._board.close)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def write(self, row: dict[str, float]) -> None:
        """Append a row; it must hold "step"."""
        if not self._enabled:
            return
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in row.items():
            if name not in ("step", "time_s"):
                self._board.add_scalar(name, value, int(row["step"]))


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """Rows of ``metrics.jsonl``, without a last line torn by a kill; empty where there is no file."""
    path = Path(run_dir) / "metrics.jsonl"
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text().split("\n")[:-1]:
        rows.append(json.loads(line))
    return rows


def _cut(path: Path, step: int) -> None:
    """Drop rows after ``step``, in one move."""
    kept = [row for row in read_metrics(path.parent) if row["step"] <= step]
    temporary = path.with_name(".tmp-metrics.jsonl")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
    temporary.replace(path)
