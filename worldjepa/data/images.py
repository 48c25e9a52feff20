"""Folders and zips of class folders of images: every image an episode of one row, without actions.

Layouts, below any number of folders that hold nothing else:

- ``<class>/**/NAME.png``;
- ``train/<class>/**/NAME.jpg``, ``val/<class>/**/NAME.jpg`` and so on, whose parts become the filters "train",
  "valid" and "test";
- Tiny-ImageNet as it is distributed: ``val/images/NAME.JPEG`` with the classes in ``val/val_annotations.txt``, and
  ``test/images/NAME.JPEG`` without classes (label -1).

Observations: "image" uint8 [rows, columns, 3], "label" float32 [1], the number of the class in the order of the names,
which are in ``spec.env["classes"]``; "saliency" uint8 [rows, columns, 1] where it is asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy import ndarray

from worldjepa.data.episodes import Episode, observation_specs, select_names
from worldjepa.data.members import Members
from worldjepa.data.pictures import ENDINGS, Fit, decode
from worldjepa.data.saliency import SaliencyMaps, spectral_residual
from worldjepa.types import DataSpec

SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
"""Names of folders -> filters."""
SPECTRAL_RESIDUAL = "spectral_residual"
NO_CLASS = "images"
"""The folder in the place of a class, in Tiny-ImageNet's parts without class folders."""


class ImageSource:
    """Reads a folder or zip of class folders, an image at a time.

    Args:
        path: folder or zip.
        filter: only the images of this part.
        size: rows and columns that all images are brought to; None: they must have one size already.
        fit: how: see `worldjepa.data.pictures.decode`.
        saliency: where the observation "saliency" comes from: "spectral_residual", see
            `worldjepa.data.saliency.spectral_residual`; or a folder or zip of grey images of the same names, see
            `worldjepa.data.saliency.SaliencyMaps`; None: there is none.

    Raises:
        ValueError: no images, a layout that is none of the above, an image that does not decode or differs in size.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        filter: str | None = None,
        size: int | None = None,
        fit: Fit = "crop",
        saliency: str | Path | None = None,
    ):
        if size is not None and size < 1:
            raise ValueError(f"expected a size of at least 1 pixel, got {size}")
        if fit not in ("crop", "stretch"):
            raise ValueError(f'expected fit "crop" or "stretch", got {fit!r}')
        self.path = Path(path).expanduser()
        self.size: int | None = size
        self.fit: Fit = fit
        self._members = Members(self.path)
        self._computed = saliency == SPECTRAL_RESIDUAL
        self._maps = None if saliency is None or self._computed else SaliencyMaps(saliency, size=size, fit=fit)
        places = _places(self._members)
        self.classes = sorted({place.label for place in places.values() if place.label is not None})
        """Names of the classes, in the order of their numbers."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        self._labels = {name: -1 if x.label is None else numbers[x.label] for name, x in places.items()}
        self.filters = _filters(places)
        self.names = select_names(sorted(places), self.filters, filter, self.path)
        first = self._read(self.names[0])
        self._shape = first["image"].shape
        self.spec = DataSpec(observation_specs(first), action_dim=0, env={"classes": self.classes})

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Episode:
        """Image ``index``."""
        name = self.names[index]
        obs = self._read(name)
        if obs["image"].shape != self._shape:
            raise ValueError(
                f"{self.path}: {name} is of {_text(obs['image'])} pixels, {self.names[0]} of "
                f"{self._shape[1]}x{self._shape[2]}; give the size that all are to be brought to, such as "
                f"worldjepa convert {self.path} OUT --size {min(self._shape[1:3])}"
            )
        return Episode(obs, np.zeros((1, 0), np.float32), name=name)

    def close(self) -> None:
        """Close the zip."""
        self._members.close()
        if self._maps is not None:
            self._maps.close()

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, name: str) -> dict[str, ndarray]:
        image = decode(self._members.read(name), f"{self.path}: {name}", size=self.size, fit=self.fit)
        obs = {"image": image[None], "label": np.array([[self._labels[name]]], np.float32)}
        if self._computed:
            obs["saliency"] = spectral_residual(image)[None]
        elif self._maps is not None:
            obs["saliency"] = self._maps.read(name, image.shape[:2])[None]
        return obs


def holds_images(path: Path) -> bool:
    """Whether a folder or zip holds an image below another folder."""
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.suffix.lower() in ENDINGS)
        return any(len(file.relative_to(path).parts) > 1 for file in found)
    members = Members(path)
    members.close()
    return any(_is_image(name) and "/" in name for name in members.names)


def check_no_loose(path: Path) -> None:
    """Raise ValueError where images lie in a folder or zip itself, in no class folder."""
    members = Members(path)
    members.close()
    if loose := [name for name in members.names if _is_image(name) and "/" not in name]:
        raise ValueError(
            f"the images of {path} ({', '.join(loose[:4])}, ...) lie in no class folder: move them into one, such as "
            f"all/{loose[0]}; training reads no classes"
        )


@dataclass(frozen=True)
class _Place:
    split: str | None
    label: str | None
    """Name of the class; None: not known."""


def _places(members: Members) -> dict[str, _Place]:
    """The part and the class of every image, by its path."""
    names = [name for name in members.names if _is_image(name)]
    if not names:
        raise ValueError(f"{members.path} holds no image (a file that ends in one of {', '.join(ENDINGS)})")
    annotations = _annotations(members)
    depth = _depth_of_root([PurePosixPath(name).parts for name in names])
    found = {}
    for name in names:
        *folders, file = PurePosixPath(name).parts[depth:]
        split = SPLITS.get(folders[0].lower()) if folders else None
        label = folders[1:] if split else folders
        if not label:
            raise ValueError(
                f"{members.path}: {name} lies in no class folder; expected CLASS/NAME.png or train/CLASS/NAME.png"
            )
        if split and label == [NO_CLASS]:
            found[name] = _Place(split, annotations.get(file))
        else:
            found[name] = _Place(split, label[0])
    parts = {place.split for place in found.values()}
    if None in parts and len(parts) > 1:
        outside = next(name for name, place in found.items() if place.split is None)
        raise ValueError(
            f"{members.path} has the folders of parts {sorted(x for x in parts if x)} beside {outside}; put every "
            "class folder into a part (train, val, test), or none"
        )
    return found


def _depth_of_root(paths: list[tuple[str, ...]]) -> int:
    """How many folders all images share above the first that is a part's or one of several; 0 if there is none."""
    for depth in range(min(map(len, paths)) - 1):
        names = {parts[depth].lower() for parts in paths}
        if len(names) > 1 or names & SPLITS.keys():
            return depth
    return 0


def _annotations(members: Members) -> dict[str, str]:
    """Class by file name, of Tiny-ImageNet's ``val_annotations.txt`` (name, class and box, with tabs between)."""
    found = {}
    for name in members.names:
        if PurePosixPath(name).name == "val_annotations.txt":
            rows = [re.split(r"\s+", line) for line in members.read(name).decode().splitlines() if line.strip()]
            found.update({row[0]: row[1] for row in rows if len(row) > 1})
    return found


def _filters(places: dict[str, _Place]) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for name, place in sorted(places.items()):
        if place.split is not None:
            filters.setdefault(place.split, []).append(name)
    return filters


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _text(image: ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[2]}"
