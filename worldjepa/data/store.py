"""A recording converted once to memory-mapped arrays: flat steps, a row for each observation, and episode ends."""

import contextlib
import fcntl
import hashlib
import json
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy import ndarray
from tensordict import TensorDict

from worldjepa.data.convert import Progress, remove_leftovers, write_store
from worldjepa.data.episodes import EpisodeSource, open_source
from worldjepa.data.fingerprint import FORMAT, fingerprint, stamp
from worldjepa.data.statistics import Statistics, row_statistics
from worldjepa.types import DataSpec


class Store:
    """A converted recording; make one with `open_store` or `Store.convert`.

    Row ``starts[e] + t`` holds observation t of episode e and the action taken there. Where an episode has one
    observation more than actions, the action of its last row is a copy and not a recording (see ``num_actions``).

    Raises:
        ValueError: the folder is not a complete store of this version.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        header = _read_header(self.folder)
        self.fingerprint: str = header["fingerprint"]
        """Of the content it was made from."""
        self.source = Path(header["path"])
        """The recording it was made from."""
        self.spec = DataSpec.from_json(header["spec"])
        self.ends = np.array(header["ends"], dtype=np.int64)
        """[E]: one past the last row of each episode."""
        self.num_actions = np.array(header["num_actions"], dtype=np.int64)
        """[E]: recorded actions, one less than rows or as many."""
        self.names: list[str] = header["names"]
        self.filters: dict[str, list[str]] = header["filters"]
        self.success: list[bool | None] = header["success"]
        self.seeds: list[int | None] = header["seeds"]
        self._maps: list[mmap.mmap] = []
        self.arrays = self._map()
        """Read-only memory-mapped arrays by name: "obs/<key>", "action" and, where recorded, "reward", "terminated" and
        "success" (whether the task was solved after this action, see `Episode.solved`)."""

    @staticmethod
    def open(folder: str | Path) -> "Store":
        """Open a store that exists."""
        return Store(folder)

    @staticmethod
    def convert(source: EpisodeSource, folder: str | Path, *, progress: Progress | None = None) -> "Store":
        """Convert ``source`` into ``folder`` (replaced if it is a store) and open it."""
        folder = Path(folder)
        if folder.exists() and not (folder / "store.json").exists():
            raise ValueError(f"{folder} exists and is not a store; choose another name")
        folder.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "path": str(source.path.resolve()),
            "fingerprint": fingerprint(source.path),
            "stamp": stamp(source.path),
        }
        write_store(source, folder, about, progress)
        return Store(folder)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.ends)

    @property
    def starts(self) -> ndarray:
        """[E]: the first row of each episode."""
        return np.concatenate([[0], self.ends[:-1]])

    @cached_property
    def steps(self) -> TensorDict:
        """All rows as a memory-mapped TensorDict [N]: "obs" nested by key, "action" and what else was stored.

        Writing to it changes memory only, never the files.
        """
        return TensorDict.load_memmap(self.folder / "steps", mode="r", robust_key=False)

    def episodes(self, filter: str) -> ndarray:
        """Numbers of the episodes in the named subset ``filter``.

        Raises:
            ValueError: the filter is unknown or empty.
        """
        if filter not in self.filters:
            raise ValueError(f"{self.source} has no filter {filter!r}; it has {sorted(self.filters) or 'none'}")
        chosen = set(self.filters[filter])
        numbers = np.array([i for i, name in enumerate(self.names) if name in chosen], dtype=np.int64)
        if len(numbers) == 0:
            raise ValueError(f"{self.source}: the filter {filter!r} names no episode of the recording")
        return numbers

    def statistics(self, episodes: Sequence[int] | ndarray | None = None) -> dict[str, Statistics]:
        """Statistics of every state key and of "action" over ``episodes`` (all for None); images have none."""
        chosen = np.arange(len(self)) if episodes is None else np.asarray(episodes, dtype=np.int64)
        starts, ends, counts = self.starts[chosen], self.ends[chosen], self.num_actions[chosen]
        states = [key for key, value in self.spec.obs.items() if value.kind == "state"]
        rows = _ranges(starts, ends)
        found = {key: row_statistics(self.arrays[f"obs/{key}"], rows) for key in states}
        found["action"] = row_statistics(self.arrays["action"], _ranges(starts, starts + counts))
        return found

    def offset_statistics(self, key: str, chunk: int, episodes: Sequence[int] | ndarray | None = None) -> Statistics:
        """Statistics of ``action[t + k] - obs[key][t]`` for all k < ``chunk``: of actions counted from the present.

        Raises:
            ValueError: ``key`` is no observation of the action's shape.
        """
        if key not in self.spec.obs or self.spec.obs[key].shape != (self.spec.action_dim,):
            raise ValueError(f"actions of size {self.spec.action_dim} cannot be counted from observation {key!r}")
        chosen = np.arange(len(self)) if episodes is None else np.asarray(episodes, dtype=np.int64)
        offsets = []
        for start, count in zip(self.starts[chosen], self.num_actions[chosen]):
            state = np.asarray(self.arrays[f"obs/{key}"][start : start + count], np.float64)
            action = np.asarray(self.arrays["action"][start : start + count], np.float64)
            offsets += [action[k:] - state[: count - k] for k in range(min(chunk, count))]
        rows = np.concatenate(offsets)
        return row_statistics(rows, np.arange(len(rows)))

    def release(self) -> None:
        """Let go of the pages read so far: they stay in the system's file cache but no longer count as this process's.

        Reading them again costs a page fault each, no disk access.
        """
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self) -> dict[str, ndarray]:
        rows = int(self.ends[-1])
        shapes = {f"obs/{key}": (value.dtype, value.shape) for key, value in self.spec.obs.items()}
        shapes["action"] = ("float32", (self.spec.action_dim,))
        for name, dtype in (("reward", "float32"), ("terminated", "bool"), ("success", "bool")):
            if (self.folder / "steps" / f"{name}.memmap").exists():
                shapes[name] = (dtype, ())
        maps = {}
        for name, (dtype, shape) in shapes.items():
            path = self.folder / "steps" / f"{name}.memmap"
            expected = rows * int(np.prod(shape)) * np.dtype(dtype).itemsize
            if path.stat().st_size != expected:
                raise ValueError(f"{path} has {path.stat().st_size} bytes, expected {expected}: remove {self.folder}")
            if expected == 0:  # a key without elements, as robosuite's empty "object": nothing to map
                maps[name] = np.zeros((rows, *shape), dtype)
                continue
            with path.open("rb") as file:
                self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            maps[name] = np.frombuffer(self._maps[-1], dtype=dtype).reshape(rows, *shape)
        if "success" not in maps and None not in self.success:  # made before stores had it
            maps["success"] = self._flagged_success(rows)
        return maps

    def _flagged_success(self, rows: int) -> ndarray:
        """[N] bool from the flags of the episodes, as `Episode.solved` has it."""
        found = np.zeros(rows, dtype=bool)
        for start, end, count, solved in zip(self.starts, self.ends, self.num_actions, self.success):
            found[start + count - 1 : end] = bool(solved)
        found.flags.writeable = False
        return found


def open_store(
    path: str | Path,
    *,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    next_obs: str = "check",
) -> Store:
    """Open the store of a recording, converting the recording if that has not been done or if it changed since.

    Args:
        path: a recording in any format of `open_source`, or a store.
        cache_dir: folder for the store; None: next to the recording, or the folder of the environment variable
            WORLDJEPA_CACHE (~/.cache/worldjepa) where the recording's folder cannot be written.
        progress: called after each converted episode with the number done and the number of all.
        next_obs: see `worldjepa.data.robomimic.RobomimicSource`.

    Raises:
        FileNotFoundError, ValueError, OSError: nothing there, damaged, disk full.
    """
    path = Path(path).expanduser()
    if (path / "store.json").exists():
        return Store(path)
    if not path.exists():
        open_source(path)  # raises, with the list of formats
    folder = _place(path, cache_dir, "" if next_obs == "check" else f".{next_obs}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _is_current(folder, path, next_obs):
        return Store(folder)
    with _locked(folder):
        if not _is_current(folder, path, next_obs):  # another process may have converted it while this one waited
            remove_leftovers(folder)
            before = stamp(path)
            about = {"path": str(path.resolve()), "fingerprint": fingerprint(path, next_obs), "stamp": before}
            with open_source(path, next_obs=next_obs) as source:
                write_store(source, folder, about, progress)
            if stamp(path) != before:
                raise ValueError(f"{path} changed while it was converted; wait until its recording is finished")
    return Store(folder)


def file_bytes() -> int:
    """Bytes of mapped files resident in this process, by Linux's account; 0 on other systems."""
    try:
        shared_pages = int(Path("/proc/self/statm").read_bytes().split()[2])
    except FileNotFoundError:
        return 0
    return shared_pages * mmap.PAGESIZE


def _is_current(folder: Path, path: Path, options: str) -> bool:
    """Whether ``folder`` holds a store of the present content of ``path``."""
    if not (folder / "store.json").exists():
        return False
    header = json.loads((folder / "store.json").read_text())
    if header.get("format") != FORMAT:
        return False
    now = stamp(path)
    if header["stamp"] == now:
        return True
    if header["fingerprint"] != fingerprint(path, options):
        return False
    with contextlib.suppress(OSError):  # same content, touched or moved: remember, so that it is not read again
        temporary = folder / f"store.json.{os.getpid()}"
        temporary.write_text(json.dumps({**header, "stamp": now}))
        temporary.replace(folder / "store.json")
    return True


def _place(path: Path, cache_dir: str | Path | None, suffix: str) -> Path:
    name = f"{path.name}{suffix}.store"
    parent = path.resolve().parent
    if cache_dir is None and _writable(parent):
        return parent / name
    root = Path(cache_dir or os.environ.get("WORLDJEPA_CACHE") or "~/.cache/worldjepa").expanduser()
    return root / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}-{name}"


def _writable(folder: Path) -> bool:
    """Whether files may be made in ``folder``; one without any write permission counts as read-only, for root too."""
    marked = folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    return bool(marked) and os.access(folder, os.W_OK)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``, so that processes that start together convert once."""
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_header(folder: Path) -> dict:
    path = folder / "store.json"
    if not path.exists():
        raise ValueError(f"{folder} is not a store: it has no store.json; convert a recording with open_store(path)")
    header = json.loads(path.read_text())
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{folder} is a store of another version ({header.get('format')!r}, expected {FORMAT!r}); convert "
            f"{header.get('path')} anew"
        )
    return header


def _ranges(starts: ndarray, ends: ndarray) -> ndarray:
    """starts[0]..ends[0]-1, starts[1]..ends[1]-1, ... in one array."""
    return np.concatenate([np.arange(a, b) for a, b in zip(starts, ends)] or [np.zeros(0, np.int64)])
