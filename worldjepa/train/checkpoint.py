"""Checkpoints that are whole or absent: ``checkpoints/<step>/{pretrained_model/, training_state/}`` and ``last``."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

TEMPORARY = ".tmp-"


class Checkpoints:
    """The checkpoints of one run.

    A checkpoint is written into a temporary folder, flushed to the disk and renamed: a process killed at any moment
    leaves the old ones or the old ones and a whole new one.

    Args:
        folder: ``RUN/checkpoints``; made when the first one is saved.
        keep_last: newest checkpoints to keep.
        keep_every: checkpoints at multiples of this many steps are never deleted; 0: none.
    """

    def __init__(self, folder: Path, *, keep_last: int = 2, keep_every: int = 0):
        self.folder = Path(folder)
        self.keep_last = keep_last
        self.keep_every = keep_every

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of ``step``."""
        return self.folder / f"{step:06d}"

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Write one checkpoint, point ``last`` to it and delete what is no longer kept.

        Args:
            step: optimiser steps made.
            write: fills the folder it is given.

        Raises:
            OSError: the disk is full or broken; says which checkpoint is the last good one, which stays.
        """
        final = self.path(step)
        temporary = self.folder / f"{TEMPORARY}{final.name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            write(temporary)
            _flush(temporary)
            temporary.rename(final)
            self._link(final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise self._explain(step, error) from error
        self._prune()
        return final

    def clean(self) -> None:
        """Remove what a killed process left half written or half deleted, and mend ``last``."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(f"{TEMPORARY}*"):
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
        if steps := self.steps():
            self._link(self.path(steps[-1]))

    def _link(self, final: Path) -> None:
        """Point ``last`` to ``final``, relative, replacing the old link in one move."""
        link = self.folder / f"{TEMPORARY}last"
        link.unlink(missing_ok=True)
        link.symlink_to(final.name, target_is_directory=True)
        link.replace(self.folder / "last")
        _flush_one(self.folder)

    def _prune(self) -> None:
        for step in self.steps()[: -self.keep_last]:
            if self.keep_every and step % self.keep_every == 0:
                continue
            # Renamed first: a kill half way through must not leave a checkpoint that looks whole.
            doomed = self.folder / f"{TEMPORARY}old-{step:06d}"
            self.path(step).rename(doomed)
            shutil.rmtree(doomed)

    def _explain(self, step: int, error: Exception) -> OSError:
        steps = self.steps()
        good = f"the last good checkpoint is {self.path(steps[-1])}" if steps else "there is no earlier checkpoint"
        full = shutil.disk_usage(self.folder.parent if not self.folder.is_dir() else self.folder)
        free = f"{full.free / 2**20:.1f} MiB are free there"
        text = f"could not write the checkpoint of step {step} in {self.folder}: {error}; {free}; {good}. "
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        return OSError(number, text + "Free space and run again with resume.")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Tensors by name into a safetensors file."""
    save_file(tensors, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a safetensors file.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"the checkpoint file {path} cannot be read: {error}; resume from another one") from error


def write_json(path: Path, value: Any) -> None:
    """JSON values into a file."""
    path.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """JSON values from a file.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"the checkpoint file {path} cannot be read: {error}; resume from another one") from error


def _flush(folder: Path) -> None:
    """All files and folders below ``folder``, and itself, to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _flush_one(path)
    _flush_one(folder)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
