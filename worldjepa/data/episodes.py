"""What a recording is: episodes, sources of episodes, and the one function that opens any of them.

Time: ``action[t]`` takes ``obs[t]`` to ``obs[t + 1]``. An episode of T actions holds T + 1 observations, each stored
once, or T where the recorder left out the last one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy import ndarray

from worldjepa.types import DataSpec, ObsSpec

FORMATS = (
    "robomimic HDF5 (a file with the group data/demo_0), Push-T style zarr (a folder or zip with data/* and "
    "meta/episode_ends), Minari (a folder with data/main_data.hdf5), images (a folder or zip of class folders), "
    "3DIEBench (a folder with SYNSET/OBJECT/image_0.jpg and latent_0.npy)"
)


@dataclass(frozen=True)
class Episode:
    """One recorded episode, in memory.

    Raises:
        ValueError: lengths that do not fit each other, values that are not finite. The message names the array.
    """

    obs: dict[str, ndarray]
    """By flat key ("a/b" for nested): [T + 1, ...] or [T, ...], for all keys alike; uint8 images HWC, else float32."""
    action: ndarray
    """[T, A] float32, raw units."""
    reward: ndarray | None = None
    """[T] float32."""
    terminated: ndarray | None = None
    """[T] bool: the task ended in this step. Not a success flag."""
    truncated: ndarray | None = None
    """[T] bool: the recording was cut off after this step."""
    success: bool | None = None
    """Whether the task was solved, by the environment's own predicate; None where nobody recorded it."""
    seed: int | None = None
    """The seed the environment was reset with, where recorded."""
    name: str = ""
    """The episode's name in its file, for messages."""
    step_success: ndarray | None = None
    """[T] bool: the task was solved after this action, by the same predicate; None where only ``success`` is known."""

    def __post_init__(self):
        where = f"episode {self.name!r}" if self.name else "the episode"
        if self.action.ndim != 2 or len(self.action) == 0:
            raise ValueError(f"{where}: expected actions of shape [T >= 1, A], got {list(self.action.shape)}")
        if not self.obs:
            raise ValueError(f"{where} has no observations; at least one key is needed")
        _check_lengths(self, where)
        check_finite(self.action, f"{where}: action")
        for key, value in self.obs.items():
            check_finite(value, f"{where}: observation {key!r}")

    @property
    def num_actions(self) -> int:
        """T."""
        return len(self.action)

    @property
    def num_observations(self) -> int:
        """T + 1, or T where the last observation was not recorded."""
        return len(next(iter(self.obs.values())))

    @property
    def solved(self) -> ndarray | None:
        """[T] bool: whether the task is solved after each action; None where nobody recorded it.

        Of an episode that has the flag ``success`` alone, the last action solves it, if any: recorders stop at success.
        """
        if self.step_success is not None or self.success is None:
            return self.step_success
        return (np.arange(self.num_actions) == self.num_actions - 1) & self.success


class EpisodeSource(Protocol):
    """A recording on disk, read episode by episode."""

    spec: DataSpec
    path: Path
    names: list[str]
    """Names of the episodes, in order."""
    filters: dict[str, list[str]]
    """Named subsets of episodes (robomimic's masks): filter -> names."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Episode: ...

    def __iter__(self) -> Iterator[Episode]: ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> "EpisodeSource": ...

    def __exit__(self, *_) -> None: ...


def open_source(path: str | Path, *, filter: str | None = None, next_obs: str = "check") -> EpisodeSource:
    """Open a recording in any supported format.

    Args:
        path: file or folder.
        filter: only the episodes of this named subset (robomimic's ``mask/<filter>``).
        next_obs: what to do with robomimic's ``next_obs``, see `worldjepa.data.robomimic.RobomimicSource`.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the format is not known or the file is damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; give a recording in one of these formats: {FORMATS}")
    if path.is_dir():
        return _open_folder(path, filter)
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        from worldjepa.data.images import ImageSource, check_no_loose, holds_images
        from worldjepa.data.zarr import ZarrSource

        if holds_images(path):
            return ImageSource(path, filter=filter)
        check_no_loose(path)
        return ZarrSource(path, filter=filter)
    if head == b"\x89HDF\r\n\x1a\n":
        from worldjepa.data.robomimic import RobomimicSource

        return RobomimicSource(path, filter=filter, next_obs=next_obs)
    raise ValueError(
        f"{path} is neither an HDF5 nor a zip file (it begins with {head!r}); if it was downloaded, the transfer may "
        f"have saved an error page: look at it, or fetch it again. Formats: {FORMATS}"
    )


def _open_folder(path: Path, filter: str | None) -> EpisodeSource:
    if (path / "store.json").exists():
        raise ValueError(
            f"{path} is a converted store: train on it, or open it with worldjepa.data.open_store; inspect and "
            "convert read the recording it was made from"
        )
    if (path / "data" / "main_data.hdf5").exists() or (path / "main_data.hdf5").exists():
        from worldjepa.data.minari import MinariSource

        return MinariSource(path, filter=filter)
    if any((path / name).exists() for name in (".zgroup", "zarr.json", ".zmetadata", "meta/episode_ends")):
        from worldjepa.data.zarr import ZarrSource

        return ZarrSource(path, filter=filter)
    from worldjepa.data.images import ImageSource, check_no_loose, holds_images
    from worldjepa.data.threedie import ThreeDIESource, holds_views

    if holds_views(path):
        return ThreeDIESource(path, filter=filter)
    if holds_images(path):
        return ImageSource(path, filter=filter)
    found = sorted(child.name for child in path.iterdir())[:8]
    check_no_loose(path)
    raise ValueError(f"the folder {path} (holding {', '.join(found) or 'nothing'}) is none of these formats: {FORMATS}")


def as_observation(value: ndarray) -> ndarray:
    """Observations [T, ...] as they are kept: uint8 images [T, rows, columns, channels] unchanged, else float32.

    A scalar a step becomes a vector of size 1.
    """
    if value.dtype == np.uint8 and value.ndim == 4:
        return np.ascontiguousarray(value)
    if value.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got {value.dtype}; leave this key out or convert it to numbers")
    return np.ascontiguousarray(value[:, None] if value.ndim == 1 else value, dtype=np.float32)


def observation_specs(obs: dict[str, ndarray]) -> dict[str, ObsSpec]:
    """Specifications of observations [T, ...] by key."""
    return {key: ObsSpec(tuple(value.shape[1:]), str(value.dtype)) for key, value in obs.items()}


def check_fits(episode: Episode, spec: DataSpec, path: Path) -> None:
    """Check that an episode has the keys and shapes of ``spec``.

    Raises:
        ValueError: keys missing or extra, shapes or action size that differ.
    """
    have, want = observation_specs(episode.obs), spec.obs
    missing, extra = sorted(want.keys() - have.keys()), sorted(have.keys() - want.keys())
    where = f"{path}: episode {episode.name!r}"
    if missing or extra:
        raise ValueError(
            f"{where} lacks the observation keys {missing} and adds {extra} compared with the rest of the data "
            f"({sorted(want)}); every episode needs the same keys: repair the file, or leave the episode out with "
            "a filter"
        )
    for key, expected in want.items():
        if have[key] != expected:
            raise ValueError(f"{where}: observation {key!r} is {have[key]}, but {expected} elsewhere in the data")
    if episode.action.shape[1] != spec.action_dim:
        raise ValueError(f"{where} has actions of size {episode.action.shape[1]}, the rest {spec.action_dim}")


def select_names(names: list[str], filters: dict[str, list[str]], filter: str | None, path: Path) -> list[str]:
    """The names of the subset ``filter``, in the order of ``names``; all of them for None.

    Raises:
        ValueError: the filter is unknown, empty, or names episodes that are not there.
    """
    if filter is None:
        return names
    if filter not in filters:
        raise ValueError(f"{path} has no filter {filter!r}; it has {sorted(filters) or 'none'}")
    chosen = set(filters[filter])
    if not chosen:
        raise ValueError(
            f"{path}: the filter {filter!r} names no episode; write its list anew, or choose another filter"
        )
    if absent := sorted(chosen - set(names)):
        raise ValueError(f"{path}: the filter {filter!r} names episodes that are not in the file: {absent[:5]}")
    return [name for name in names if name in chosen]


def check_finite(value: ndarray, what: str) -> None:
    """Raise ValueError, naming the first place, where floats [T, ...] are not finite."""
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return
    bad = ~np.isfinite(value)
    place = np.argwhere(bad)[0]
    raise ValueError(
        f"{what} holds {int(bad.sum())} values that are not finite, the first at step {place[0]}, dimension "
        f"{place[1:].tolist()} ({value[tuple(place)]}); repair the recording or leave the episode out with a filter"
    )


def _check_lengths(episode: Episode, where: str) -> None:
    num = len(episode.action)
    lengths = {key: len(value) for key, value in episode.obs.items()}
    if len(set(lengths.values())) > 1 or next(iter(lengths.values())) not in (num, num + 1):
        raise ValueError(
            f"{where} has {num} actions, so every observation key needs {num + 1} frames (or {num} without the last "
            f"one); it has {lengths}. The recording is damaged or was cut while writing: leave it out with a filter"
        )
    for field in ("reward", "terminated", "truncated", "step_success"):
        value = getattr(episode, field)
        if value is not None and value.shape != (num,):
            raise ValueError(
                f"{where}: expected {field} of shape [{num}], one for each action, got {list(value.shape)}"
            )
