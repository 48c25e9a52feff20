"""Minari folders (HDF5 storage): ``data/main_data.hdf5`` with ``episode_<i>`` groups and ``data/metadata.json``.

Read with h5py and Pillow alone. T + 1 observations for T actions. Dict and Tuple spaces become flat keys joined with
"/" (tuple entries by their number), a bare space becomes "state", or "image" where it is one. Images may be stored as
arrays or as JPEG bytes; which one shows in the number of axes.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from worldjepa.data.episodes import Episode, as_observation, check_fits, observation_specs, select_names
from worldjepa.data.hdf5 import Node, open_hdf5, read_vector
from worldjepa.types import DataSpec


class MinariSource:
    """Reads a Minari data set, episode by episode; the file stays open until `close`.

    Args:
        path: the data set's folder (.../name-v0) or its ``data`` folder.
        filter: such files have no filters, so anything but None is an error.

    Raises:
        ValueError: the file is damaged or not in this layout, a space that holds no numbers.
    """

    def __init__(self, path: str | Path, *, filter: str | None = None):
        self.path = Path(path).expanduser()
        folder = self.path / "data" if (self.path / "data").is_dir() else self.path
        self._metadata = _read_metadata(folder / "metadata.json")
        self._space = _space(self._metadata, "observation_space", self.path)
        self._action_space = _space(self._metadata, "action_space", self.path)
        self._file: Node = open_hdf5(folder / "main_data.hdf5")
        found = [name for name in self._file if re.fullmatch(r"episode_\d+", name)]
        if not found:
            raise ValueError(f"{self.path} holds no episodes (it has {sorted(self._file)[:5]}); record some first")
        self.filters: dict[str, list[str]] = {}
        names = sorted(found, key=lambda name: int(name[8:]))
        self.names = select_names(names, self.filters, filter, self.path)
        self.spec = self._read_spec()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, checked against the specification of the first one."""
        episode = self._read(self.names[index])
        check_fits(episode, self.spec, self.path)
        return episode

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "MinariSource":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, name: str) -> Episode:
        group: Node = self._file[name]
        where = f"{self.path}: {name}"
        if absent := {"observations", "actions"} - set(group):
            raise ValueError(f"{where} lacks {sorted(absent)}, it has {sorted(group)}; the recording is damaged")
        obs = _read_space(group["observations"], self._space, "", where)
        action = _read_space(group["actions"], self._action_space, "", where)
        parts = [value.reshape(len(value), -1).astype(np.float32) for value in action.values()]
        seed, succeeded = group.attrs.get("seed"), _success(group.get("infos", {}))
        return Episode(
            {key: as_observation(value) for key, value in obs.items()},
            np.concatenate(parts, axis=1),
            reward=read_vector(group, "rewards", np.float32),
            terminated=read_vector(group, "terminations", np.bool_),
            truncated=read_vector(group, "truncations", np.bool_),
            success=None if succeeded is None else bool(succeeded.any()),
            seed=int(seed) if isinstance(seed, (int, np.integer)) else None,
            name=name,
            step_success=_after_actions(succeeded, len(parts[0])),
        )

    def _read_spec(self) -> DataSpec:
        first = self._read(self.names[0])
        low, high = _bounds(self._action_space)
        env = json.loads(self._metadata.get("env_spec") or "{}")
        return DataSpec(observation_specs(first.obs), first.action.shape[1], low, high, env=env)


def _read_metadata(path: Path) -> dict:
    if not path.exists():
        raise ValueError(f"{path} is missing: a Minari data set needs it to tell its spaces; fetch the data set again")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch the data set again") from error


def _space(metadata: dict, name: str, path: Path) -> dict:
    if name not in metadata:
        raise ValueError(f"{path}: the metadata has no {name!r}; it has {sorted(metadata)}")
    value = metadata[name]
    return json.loads(value) if isinstance(value, str) else value


def _read_space(item: Node, space: dict, key: str, where: str) -> dict[str, ndarray]:
    """The leaves of ``item`` by flat key; ``space`` is Minari's JSON description of it."""
    kind = space["type"]
    if kind in ("Dict", "Tuple"):
        subspaces = space["subspaces"]
        entries = subspaces.items() if kind == "Dict" else [(f"_index_{i}", s) for i, s in enumerate(subspaces)]
        found = {}
        for name, subspace in entries:
            if name not in item:
                raise ValueError(f"{where}: the space says {key}{name!r} is there, the file has {sorted(item)}")
            inner = f"{key}{name.removeprefix('_index_')}/"
            found.update(_read_space(item[name], subspace, inner, where))
        return found
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        raise ValueError(f"{where}: {key or 'the space'} is a {kind} space, which holds no numbers: remove it")
    shape = space.get("shape", ())
    is_image = kind == "Box" and space["dtype"] == "uint8" and len(shape) in (2, 3)
    value = _decode_jpeg(item, where) if is_image and item.ndim < 1 + len(shape) else item[()]
    if is_image and value.ndim == 3:  # grey
        value = value[..., None]
    return {key.rstrip("/") or ("image" if is_image else "state"): value}


def _decode_jpeg(dataset: Node, where: str) -> ndarray:
    """Images [T, rows, columns(, channels)] uint8 from rows of JPEG bytes."""
    frames = []
    for number, data in enumerate(dataset[()]):
        try:
            with Image.open(io.BytesIO(np.asarray(data, dtype=np.uint8).tobytes())) as image:
                frames.append(np.asarray(image, dtype=np.uint8))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{where}: image {number} of {dataset.name} is damaged ({error})") from error
    return np.stack(frames)


def _success(infos: Node) -> ndarray | None:
    """The environment's own ``infos/is_success`` (or ``success``) as booleans, one for each info it recorded."""
    for name in ("is_success", "success"):
        if name in infos and isinstance(infos[name], h5py.Dataset) and infos[name].dtype.kind in "biuf":
            return np.asarray(infos[name][()]) != 0
    return None


def _after_actions(flags: ndarray | None, num_actions: int) -> ndarray | None:
    """The last [num_actions] of flags [T] or, with the info of the reset, [T + 1]; None for another shape."""
    if flags is None or flags.shape not in ((num_actions,), (num_actions + 1,)):
        return None
    return flags[-num_actions:]


def _bounds(space: dict) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Lowest and highest actions, where both are finite."""
    if space["type"] == "Discrete":
        return (float(space["start"]),), (float(space["start"] + space["n"] - 1),)
    if space["type"] != "Box":
        return None, None
    low, high = (np.array(space[name], dtype=np.float64).reshape(-1) for name in ("low", "high"))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None, None
    return tuple(low.tolist()), tuple(high.tolist())
