"""The folders of 3DIEBench (Garrido et al. 2023): every object an episode, its rendered views the rows.

Layout: ``SYNSET/OBJECT/image_<k>.jpg`` with ``SYNSET/OBJECT/latent_<k>.npy``, 50 views of 256 x 256 pixels for each of
52,472 objects of 55 classes. A latent holds the object's Tait-Bryan angles about the fixed axes x, y and z [rad], the
hue of the floor [0, 1], polar and azimuthal angle of the light [rad] and the hue of the light [0, 1]. The published
split is four arrays, ``train_images.npy`` and ``val_images.npy`` of "/SYNSET/OBJECT" and ``train_labels.npy`` and
``val_labels.npy`` of class numbers.

Observations: "image" uint8 [rows, columns, 3]; "rotation" [4], the object's orientation as a unit quaternion x, y, z, w
with w >= 0; "floor_hue", "light_hue" [1]; "label" [1], the number of the class in ``spec.env["classes"]``; "object"
[1], the object's number among all of the data. The action of row t is the transformation to row t + 1: the quaternion
of R_t^-1 R_(t+1), the differences of the floor's and of the light's hue.

All views at 128 pixels take 129 GB: convert the folder once where there is room for that (``worldjepa convert``).
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy import ndarray

from worldjepa.data.episodes import Episode, observation_specs, select_names
from worldjepa.data.pictures import decode
from worldjepa.types import DataSpec

LISTS = {"train": "train", "valid": "val"}
"""Filters -> first part of the names of the published lists."""
FLOOR_HUE, LIGHT_HUE, NUM_LATENTS = 3, 6, 7
VIEW = re.compile(r"image_(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)


class ThreeDIESource:
    """Reads 3DIEBench object by object.

    Args:
        path: the folder that holds the synsets.
        filter: only the objects of "train" or "valid", where the lists are there.
        lists: folder of the lists; None: ``path``. Without lists there are no filters, and the classes are numbered in
            the order of their synsets.
        size: rows and columns that the images are brought to (bicubic, with antialiasing); None: as they are.
        min_views: an object needs so many, >= 2.
        min_objects: a class needs so many, so that some can be held out.
        num_threads: decode this many images at a time.

    Raises:
        ValueError: not this layout; a class or an object with too few; views, latents or lists that are damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        filter: str | None = None,
        lists: str | Path | None = None,
        size: int | None = 128,
        min_views: int = 2,
        min_objects: int = 2,
        num_threads: int = 4,
    ):
        if min_views < 2:
            raise ValueError(f"min_views must be at least 2, for there to be a transformation; got {min_views}")
        self.path = Path(path).expanduser()
        self._size, self._min_views = size, min_views
        self._threads = ThreadPoolExecutor(num_threads)
        objects = _objects(self.path, min_objects)
        names = [f"{synset}/{name}" for synset, members in objects.items() for name in members]
        self._number = {name: number for number, name in enumerate(names)}
        self.filters, labels = _read_lists(Path(lists or self.path).expanduser(), self._number, self.path)
        self.classes = _classes(sorted(objects), labels, self.path)
        """Synsets, in the order of their numbers."""
        self._label = {synset: number for number, synset in enumerate(self.classes)}
        self.names = select_names(names, self.filters, filter, self.path)
        first = self._read(self.names[0])
        self.spec = DataSpec(observation_specs(first.obs), action_dim=6, env={"classes": self.classes})

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Episode:
        """Object ``index``."""
        return self._read(self.names[index])

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()

    def __enter__(self) -> "ThreeDIESource":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, name: str) -> Episode:
        folder = self.path / name
        views = _views(folder, self._min_views)
        images = list(self._threads.map(self._decode, [folder / file for file in views.values()]))
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"{folder} holds images of several sizes; give the size that all are to be brought to")
        latents = np.stack([_latent(folder / f"latent_{number}.npy") for number in views])
        synset = name.split("/")[0]
        about = {"label": self._label[synset], "object": self._number[name]}
        obs = {"image": np.stack(images), **poses(latents)}
        obs |= {key: np.full((len(images), 1), value, np.float32) for key, value in about.items()}
        return Episode(obs, transformations(latents), name=name)

    def _decode(self, file: Path) -> ndarray:
        return decode(file.read_bytes(), str(file), size=self._size)


def poses(latents: ndarray) -> dict[str, ndarray]:
    """Orientation and hues of latents [T, 7]: "rotation" [T, 4], "floor_hue" and "light_hue" [T, 1], float32."""
    from scipy.spatial.transform import Rotation

    return {
        "rotation": Rotation.from_euler("xyz", latents[:, :3]).as_quat(canonical=True).astype(np.float32),
        "floor_hue": latents[:, FLOOR_HUE, None].astype(np.float32),
        "light_hue": latents[:, LIGHT_HUE, None].astype(np.float32),
    }


def transformations(latents: ndarray) -> ndarray:
    """From each row of latents [T, 7] to the next: quaternion and differences of the hues [T - 1, 6] float32."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", latents[:, :3])
    turn = (rotation[:-1].inv() * rotation[1:]).as_quat(canonical=True)
    return np.concatenate([turn, np.diff(latents[:, [FLOOR_HUE, LIGHT_HUE]], axis=0)], axis=1).astype(np.float32)


def holds_views(path: Path) -> bool:
    """Whether the first object folder of a folder holds latents."""
    folders = (found for synset in _folders(path) for found in _folders(synset))
    first = next(folders, None)
    return first is not None and any(first.glob("latent_*.npy"))


def _objects(path: Path, min_objects: int) -> dict[str, list[str]]:
    """Names of the objects by synset, sorted."""
    found = {synset.name: [x.name for x in _folders(synset)] for synset in _folders(path)}
    found = {synset: members for synset, members in found.items() if members}
    if not found:
        raise ValueError(f"{path} holds no folders SYNSET/OBJECT, as 3DIEBench has them")
    few = {synset: len(members) for synset, members in found.items() if len(members) < min_objects}
    if few:
        raise ValueError(
            f"{path}: the classes {few} have fewer than {min_objects} objects; fetch the rest, take these folders out, "
            "or lower min_objects"
        )
    return found


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _views(folder: Path, min_views: int) -> dict[int, str]:
    """Names of the image files by number, in the order of the numbers."""
    matches = [(file.name, VIEW.fullmatch(file.name)) for file in folder.iterdir()]
    found = {int(match[1]): name for name, match in matches if match}
    if len(found) < min_views:
        raise ValueError(
            f"the object {folder} has {len(found)} views (image_<k>.jpg), expected at least {min_views}; fetch it "
            "again, or leave it out with a filter"
        )
    return dict(sorted(found.items()))


def _latent(file: Path) -> ndarray:
    value = _load(file)
    if value.ndim != 1 or len(value) < NUM_LATENTS or not np.isfinite(value[:NUM_LATENTS]).all():
        raise ValueError(f"{file} holds {value.tolist()}, expected {NUM_LATENTS} finite numbers; fetch it again")
    hues = value[[FLOOR_HUE, LIGHT_HUE]]
    if (hues < 0).any() or (hues > 1).any():
        raise ValueError(f"{file}: the hues must lie in [0, 1], got {hues.tolist()}; fetch it again")
    return value[:NUM_LATENTS].astype(np.float64)


def _load(file: Path) -> ndarray:
    """An array, never a pickle."""
    try:
        return np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError(f"{file} is not there: every image_<k>.jpg needs its latent_<k>.npy") from error
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} is not an array of numbers or strings that can be read ({error})") from error


def _read_lists(folder: Path, known: dict[str, int], path: Path) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The filters, and the class number of every synset that the lists name."""
    filters: dict[str, list[str]] = {}
    labels: dict[str, int] = {}
    for filter, name in LISTS.items():
        if not (folder / f"{name}_images.npy").exists():
            continue
        members = [str(member).strip("/") for member in _load(folder / f"{name}_images.npy").ravel()]
        if absent := [member for member in members if member not in known]:
            raise ValueError(
                f"{folder / f'{name}_images.npy'} names {len(absent)} objects that {path} lacks, the first is "
                f"{absent[0]!r}; fetch the rest, or give lists of what is there"
            )
        filters[filter] = members
        numbers = _load(folder / f"{name}_labels.npy").ravel()
        if len(numbers) != len(members):
            raise ValueError(f"{folder}: {len(members)} in {name}_images.npy, {len(numbers)} in {name}_labels.npy")
        for member, number in zip(members, numbers):
            synset = member.split("/")[0]
            if labels.setdefault(synset, int(number)) != number:
                raise ValueError(f"{folder}: the lists give {synset} the classes {labels[synset]} and {number}")
    return filters, labels


def _classes(synsets: list[str], labels: dict[str, int], path: Path) -> list[str]:
    """Synsets by number: those of the lists, or of the order of the names; those that no list names come last."""
    named = sorted((synset for synset in synsets if synset in labels), key=lambda synset: labels[synset])
    if [labels[synset] for synset in named] != list(range(len(named))):
        shown = {synset: labels[synset] for synset in named}
        raise ValueError(f"{path}: expected the lists to number the classes from 0 without a gap, got {shown}")
    return [*named, *(synset for synset in synsets if synset not in labels)]
