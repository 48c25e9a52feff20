"""The files of a folder or of a zip, by their paths inside: read in the same way wherever they lie."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath


class Members:
    """The files below a folder or in a zip; hidden ones and ``__MACOSX`` are left out.

    Raises:
        ValueError: the zip is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            found = [str(file.relative_to(path).as_posix()) for file in path.rglob("*") if file.is_file()]
        else:
            try:
                self._zip = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{path} is not a complete zip file ({error}); fetch it again") from error
            found = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        self.names: list[str] = sorted(name for name in found if not _hidden(name))
        """Paths relative to the folder or to the root of the zip, with "/", sorted."""

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            ValueError: it cannot be unpacked.
        """
        if self._zip is None:
            return (self.path / name).read_bytes()
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(f"{self.path}: {name} cannot be unpacked ({error}); make the zip anew") from error

    def close(self) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
