"""Push-T style zarr (v2 or v3, folder or zip): ``data/*`` over all steps, ``meta/episode_ends`` exclusive ends.

T observations for T actions: the observation after the last action is not in such files. Push-T's own arrays get the
names that the environments use: "agent_pos" (2) and "block_pose" (3: x, y in pixels, angle in rad) from ``state``,
"keypoints" (18) from ``keypoint``, "image" from ``img`` (floats 0..255 on disk, uint8 here).
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from worldjepa.data.episodes import Episode, as_observation, observation_specs, select_names
from worldjepa.types import DataSpec

ACTIONS = ("action", "actions")
OTHERS = {"reward": "reward", "rewards": "reward", "terminated": "terminated", "truncated": "truncated"}
PUSHT_ENV = {"env_name": "worldjepa/PushT-v0", "type": 2, "env_kwargs": {}}
IMAGE_NAMES = ("img", "image", "rgb")


class ZarrSource:
    """Reads Push-T style zarr episode by episode; each chunk is decoded once when episodes are read in order.

    Args:
        path: folder, or zip of one (whose root may be a folder inside the zip).
        filter: such files have no filters, so anything but None is an error.

    Raises:
        ImportError: zarr is not installed.
        ValueError: the file is damaged or not in this layout.
    """

    def __init__(self, path: str | Path, *, filter: str | None = None):
        self.path = Path(path).expanduser()
        self._store, root = _open_root(self.path)
        self._arrays = _flat(root["data"])
        self._action = next((name for name in ACTIONS if name in self._arrays), "")
        if not self._action:
            raise ValueError(f"{self.path} has no array data/action; it has {sorted(self._arrays)}")
        self._ends = np.asarray(root["meta/episode_ends"][:], dtype=np.int64)
        _check_ends(self._ends, {name: array.shape[0] for name, array in self._arrays.items()}, self.path)
        self.filters: dict[str, list[str]] = {}
        self.names = select_names([f"episode_{i}" for i in range(len(self._ends))], self.filters, filter, self.path)
        self._chunks: dict[str, tuple[int, ndarray]] = {}
        self.is_pusht = _is_pusht(self._arrays, self._action)
        self.spec = self._read_spec()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``."""
        start, stop = int(self._ends[index - 1]) if index else 0, int(self._ends[index])
        raw = {name: self._read(name, start, stop) for name in self._arrays}
        where = f"{self.path}: {self.names[index]}"
        action = raw.pop(self._action)
        others = {OTHERS[name]: raw.pop(name) for name in list(raw) if name in OTHERS}
        obs = _pusht(raw, where) if self.is_pusht else {k: _image_or_state(k, v, where) for k, v in raw.items()}
        return Episode(
            obs,
            np.ascontiguousarray(action[:, None] if action.ndim == 1 else action, dtype=np.float32),
            reward=_vector(others.get("reward"), np.float32),
            terminated=_vector(others.get("terminated"), np.bool_),
            truncated=_vector(others.get("truncated"), np.bool_),
            name=self.names[index],
        )

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def __enter__(self) -> "ZarrSource":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, name: str, start: int, stop: int) -> ndarray:
        """Rows start..stop of an array; the chunk read last is kept, as the next episode begins in it."""
        array = self._arrays[name]
        size = array.chunks[0]
        parts = []
        for number in range(start // size, (stop - 1) // size + 1):
            if self._chunks.get(name, (-1,))[0] != number:
                try:
                    self._chunks[name] = (number, np.asarray(array[number * size : (number + 1) * size]))
                except (RuntimeError, OSError, zipfile.BadZipFile) as error:
                    raise ValueError(f"{self.path}: chunk {number} of data/{name} is damaged ({error})") from error
            first = number * size
            parts.append(self._chunks[name][1][max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def _read_spec(self) -> DataSpec:
        first = self[0]
        num = first.action.shape[1]
        if not self.is_pusht:
            return DataSpec(observation_specs(first.obs), num)
        return DataSpec(observation_specs(first.obs), num, (0.0,) * num, (512.0,) * num, fps=10.0, env=PUSHT_ENV)


def _open_root(path: Path) -> tuple[Any, Any]:
    """The zarr store and the group that holds ``data`` and ``meta``."""
    try:
        import zarr
        from zarr.storage import LocalStore, ZipStore
    except ImportError as error:
        raise ImportError('zarr recordings need the package zarr: pip install "worldjepa[zarr]"') from error
    if path.is_dir():
        store, inside = LocalStore(path, read_only=True), ""
    else:
        store, inside = ZipStore(path, mode="r"), _root_in_zip(path)
    try:
        root = zarr.open_group(store, path=inside, mode="r")
        if "data" in root and "meta/episode_ends" in root:
            return store, root
        found = sorted(root.keys())
    except FileNotFoundError:
        found = []
    store.close()
    raise ValueError(f"{path} is not Push-T style zarr: expected data/* and meta/episode_ends, found {found}")


def _root_in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a complete zip file ({error}); fetch it again") from error
    tails = ("meta/episode_ends/.zarray", "meta/episode_ends/zarr.json")
    found = [name[: -len(tail)] for name in names for tail in tails if name.endswith(tail)]
    if not found:
        raise ValueError(
            f"{path} holds no meta/episode_ends, so it is not Push-T style zarr; it begins with {names[:5]}"
        )
    return found[0].strip("/")


def _flat(group: Any, prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, item in sorted(group.members()):
        found.update({f"{prefix}{name}": item} if hasattr(item, "chunks") else _flat(item, f"{prefix}{name}/"))
    return found


def _check_ends(ends: ndarray, lengths: dict[str, int], path: Path) -> None:
    if ends.ndim != 1 or len(ends) == 0 or (np.diff(ends, prepend=0) <= 0).any():
        raise ValueError(f"{path}: meta/episode_ends must rise from one episode to the next, got {ends[:8].tolist()}")
    if wrong := {name: length for name, length in lengths.items() if length != ends[-1]}:
        raise ValueError(
            f"{path}: meta/episode_ends says {ends[-1]} steps, but these arrays have other lengths: {wrong}; the "
            "recording was cut while writing: shorten the arrays to the same length or record it again"
        )


def _is_pusht(arrays: dict[str, Any], action: str) -> bool:
    return "state" in arrays and arrays["state"].shape[1:] == (5,) and arrays[action].shape[1:] == (2,)


def _pusht(raw: dict[str, ndarray], where: str) -> dict[str, ndarray]:
    """Push-T's arrays under the environments' names; the count of contacts is dropped, no environment observes it."""
    obs = {"agent_pos": raw["state"][:, :2], "block_pose": raw["state"][:, 2:]}
    if "keypoint" in raw:
        obs["keypoints"] = raw["keypoint"].reshape(len(raw["keypoint"]), -1)
    if "img" in raw:
        obs["image"] = _to_uint8(raw["img"], where)
    return {key: as_observation(value) for key, value in obs.items()}


def _image_or_state(name: str, value: ndarray, where: str) -> ndarray:
    image = value.ndim == 4 and value.shape[-1] in (1, 3, 4) and name.split("/")[-1].startswith(IMAGE_NAMES)
    return as_observation(_to_uint8(value, f"{where}: {name}") if image else value)


def _to_uint8(value: ndarray, where: str) -> ndarray:
    image = value.astype(np.uint8)
    if not np.array_equal(image, value):
        raise ValueError(
            f"{where}: expected an image of whole numbers 0..255, got {value.min()}..{value.max()}: scale it"
        )
    return image


def _vector(value: ndarray | None, dtype: type) -> ndarray | None:
    return None if value is None else value.reshape(len(value)).astype(dtype)
