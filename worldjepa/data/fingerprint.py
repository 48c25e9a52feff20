"""Tells whether a recording changed: by its content, with file sizes and times as a shortcut for the usual case."""

import hashlib
from pathlib import Path

FORMAT = "worldjepa store 1"
"""Part of every fingerprint: stores of another layout are converted anew."""


def source_files(path: Path) -> list[Path]:
    """The file ``path``, or all files below the folder ``path``, in a fixed order.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no recording at {path}")
    return sorted(child for child in path.rglob("*") if child.is_file())


def stamp(path: Path) -> list[list]:
    """Name, size, and times of change of every file [ns]: if these are equal, the content is taken to be equal."""
    stats = [(file, file.stat()) for file in source_files(path)]
    return [[str(file.relative_to(path.parent)), s.st_size, s.st_mtime_ns, s.st_ctime_ns] for file, s in stats]


def fingerprint(path: Path, options: str = "") -> str:
    """SHA-256 over the names and contents of a recording's files, the reader's options and the store's layout."""
    total = hashlib.sha256(f"{FORMAT}\n{options}\n".encode())
    for file in source_files(path):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        name = "" if file == path else str(file.relative_to(path))
        total.update(f"{name}\n{content}\n".encode())
    return total.hexdigest()
