"""What the readers of HDF5 recordings share: opening, and reading groups, vectors and JSON with errors that help."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy import ndarray

from worldjepa.data.episodes import as_observation
from worldjepa.data.journal import recover

Node = Any
"""An h5py group or dataset: h5py's own types cannot tell which, by name."""


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, finishing a recording that was interrupted while it was saved.

    Raises:
        BlockingIOError: it is being written by another process.
        ValueError: it is not HDF5, or it is truncated.
    """
    try:
        recover(path)
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except BlockingIOError as error:
        raise BlockingIOError(f"{path} is being written by another process; wait until that is done") from error
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as HDF5 ({error}); it is truncated or something else: fetch or record it again "
            f"({path.stat().st_size} bytes are there)"
        ) from error


def read_json(group: Node, name: str, path: Path) -> dict:
    """The JSON object in the attribute ``name``; {} where there is none.

    Raises:
        ValueError: it is not a JSON object.
    """
    text = group.attrs.get(name)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the attribute {name!r} of 'data' is not JSON ({error}); repair it") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: the attribute {name!r} of 'data' is {type(value).__name__}, expected an object")
    return value


def read_actions(dataset: Node) -> ndarray:
    """Actions [T, A] float32; a vector becomes A = 1."""
    value = dataset[()]
    return np.ascontiguousarray(value[:, None] if value.ndim == 1 else value, dtype=np.float32)


def read_vector(demo: Node, name: str, dtype: type) -> ndarray | None:
    """The vector [T] (or [T, 1]) ``name``, None where there is none."""
    if name not in demo:
        return None
    value = demo[name][()]
    return (value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value).astype(dtype)


def read_group(group: Node, where: str, prefix: str = "") -> dict[str, ndarray]:
    """Observations by flat key, nested groups joined with "/"."""
    found = {}
    for name in group:
        item = group[name]
        if isinstance(item, h5py.Group):
            found.update(read_group(item, where, f"{prefix}{name}/"))
            continue
        try:
            found[f"{prefix}{name}"] = as_observation(item[()])
        except (OSError, ValueError) as error:
            raise ValueError(f"{where}: observation {prefix}{name!r} cannot be read: {error}") from error
    return found
