"""Writes a store: one raw file for each array of a recording, all episodes one after the other.

Rows are written with plain ``write`` calls, never through a memory map, so that a full disk is an error and not a
crash.
The folder gets its name only when everything is on the disk: a store that can be seen is complete.
"""

import errno
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy import ndarray
from tensordict import MemoryMappedTensor, TensorDict

from worldjepa.data.episodes import Episode, EpisodeSource, check_fits
from worldjepa.data.fingerprint import FORMAT
from worldjepa.types import nested

Progress = Callable[[int, int], None]
"""Told the number of episodes done and the number of all, after each."""
OPTIONAL = {"reward": "reward", "terminated": "terminated", "success": "solved"}
"""Arrays that a recording may lack: name in the store -> attribute of an `Episode`."""


def write_store(source: EpisodeSource, folder: Path, about: dict, progress: Progress | None = None) -> None:
    """Write all episodes of ``source`` into the new store ``folder``, replacing an old one.

    Args:
        source: the recording.
        folder: the store; its parent must exist and be writable.
        about: "fingerprint", "stamp" and "path" of the source, kept in store.json.
        progress: called after every episode.

    Raises:
        OSError: the disk is full; nothing is left behind.
        ValueError: an episode is damaged or differs in its keys.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f"{_temporary_prefix(folder)}{os.getpid()}-", dir=folder.parent))
    try:
        index = _write_arrays(source, temporary / "steps", progress)
        header = {"format": FORMAT, **about, "spec": source.spec.to_json(), "filters": source.filters, **index}
        (temporary / "store.json").write_text(json.dumps(header))
        _sync(temporary)
        temporary.chmod(0o755)
        _publish(temporary, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"the disk of {folder.parent} is full, so {source.path} could not be converted; free space there, or "
                "give another place with cache_dir (or the environment variable WORLDJEPA_CACHE)",
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what interrupted conversions to ``folder`` left behind. Only while no other conversion to it runs."""
    for leftover in folder.parent.glob(f"{_temporary_prefix(folder)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _temporary_prefix(folder: Path) -> str:
    return f".{folder.name}.partial-"


def _write_arrays(source: EpisodeSource, steps: Path, progress: Progress | None) -> dict:
    """Append every episode to the raw files; returns the index of episodes for store.json."""
    layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    index = {"ends": [], "num_actions": [], "success": [], "seeds": [], "names": list(source.names)}
    partial: set[str] = set()
    with _open_files(steps) as files:
        for done, episode in enumerate(source, start=1):
            check_fits(episode, source.spec, source.path)
            rows = _rows(episode)
            for name, value in rows.items():
                layout.setdefault(name, (value.dtype, value.shape[1:]))
                files(name).write(value.data)
            partial |= OPTIONAL.keys() - rows.keys()
            index["ends"].append((index["ends"][-1] if index["ends"] else 0) + episode.num_observations)
            index["num_actions"].append(episode.num_actions)
            index["success"].append(episode.success)
            index["seeds"].append(episode.seed)
            if progress is not None:
                progress(done, len(source))
    if dropped := sorted(partial & layout.keys()):
        warnings.warn(f"{source.path}: some episodes have no {dropped}, so the store leaves that out", stacklevel=4)
    for name in dropped:
        del layout[name]
        _file_of(steps, name).unlink()
    _describe(steps, layout, index["ends"][-1])
    return index


def _rows(episode: Episode) -> dict[str, ndarray]:
    """Arrays of one row for each observation; the row after the last action repeats it."""
    extra = episode.num_observations - episode.num_actions
    rows = {f"obs/{key}": value for key, value in episode.obs.items()}
    rows["action"] = episode.action
    for name, attribute in OPTIONAL.items():
        value = getattr(episode, attribute)
        if value is not None:
            rows[name] = value
    for name in ("action", *OPTIONAL):
        if extra and name in rows:
            rows[name] = np.concatenate([rows[name], rows[name][-1:]])
    return {name: np.ascontiguousarray(value) for name, value in rows.items()}


@contextmanager
def _open_files(steps: Path) -> Iterator[Callable[[str], BinaryIO]]:
    """Gives the open file of an array's name, made when first asked for."""
    opened: dict[str, BinaryIO] = {}
    with ExitStack() as stack:

        def file(name: str) -> BinaryIO:
            if name not in opened:
                path = _file_of(steps, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                opened[name] = stack.enter_context(path.open("wb", buffering=1 << 20))
            return opened[name]

        yield file


def _file_of(steps: Path, name: str) -> Path:
    return steps / f"{name}.memmap"


def _describe(steps: Path, layout: dict[str, tuple[np.dtype, tuple[int, ...]]], num_rows: int) -> None:
    """Let tensordict write its own description of the raw files, so that ``TensorDict.load_memmap`` opens them."""
    tensors = TensorDict({}, batch_size=[num_rows])
    for name, (dtype, shape) in layout.items():
        path = str(_file_of(steps, name))
        torch_dtype = torch.from_numpy(np.empty(0, dtype)).dtype
        tensors[nested(name)] = MemoryMappedTensor.from_filename(path, torch_dtype, torch.Size([num_rows, *shape]))
    tensors.memmap_(str(steps), robust_key=False)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(temporary: Path, folder: Path) -> None:
    """Give the finished folder its name; an old store of that name is moved away first and removed last."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f"{_temporary_prefix(folder)}old-", dir=folder.parent))
        folder.rename(old / "store")
    temporary.rename(folder)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
