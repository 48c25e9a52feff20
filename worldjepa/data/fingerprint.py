"""Tells whether a recording changed: by its content, with file sizes and times as a shortcut for the usual case."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

FORMAT = "worldjepa store 1"
"""Part of every fingerprint: stores of another layout are converted anew."""


MANY_FILES = 1000
"""From so many files on, a stamp is a digest: folders of images have millions."""


def source_files(path: Path) -> Iterator[Path]:
    """The file ``path``, or all files below the folder ``path``, in a fixed order.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _files_below(path)
    else:
        raise FileNotFoundError(f"there is no recording at {path}")


def stamp(path: Path) -> list[list]:
    """Name, size, and times of change of every file [ns]: if these are equal, the content is taken to be equal.

    Of many files, one row: the number and the size of all, and a digest of the rows.
    """
    rows: list[list] = []
    total, count, size = hashlib.sha256(), 0, 0
    for file in source_files(path):
        about = file.stat()
        row = [str(file.relative_to(path.parent)), about.st_size, about.st_mtime_ns, about.st_ctime_ns]
        total.update(repr(row).encode())
        count, size = count + 1, size + about.st_size
        if count < MANY_FILES:
            rows.append(row)
    return rows if count < MANY_FILES else [[f"{count} files", size, total.hexdigest()]]


def fingerprint(path: Path, options: str = "") -> str:
    """SHA-256 over the names and contents of a recording's files, the reader's options and the store's layout."""
    total = hashlib.sha256(f"{FORMAT}\n{options}\n".encode())
    for file in source_files(path):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        name = "" if file == path else str(file.relative_to(path))
        total.update(f"{name}\n{content}\n".encode())
    return total.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    """Depth first, by name; only one folder's names are in memory at a time."""
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink():
            yield from _files_below(child)
        elif child.is_file():
            yield child
