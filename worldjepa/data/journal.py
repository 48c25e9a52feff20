"""A file whose changes take effect all at once: a process killed while writing leaves the last committed state.

HDF5 rewrites parts of its index in place, in several writes; a kill between two of them makes a file unreadable. Here
writes beyond the committed end go to the file at once (nothing refers to them yet), while writes below it are kept in
memory. `commit` first writes these to ``<name>.journal``, then to their place, then removes the journal; `recover`
finishes a commit that was cut off.
"""

import errno
import fcntl
import hashlib
import io
import json
import os
from pathlib import Path

PAGE = 4096


class JournaledFile(io.RawIOBase):
    """A binary file to read and write at any place, for ``h5py.File(fileobj)``; locked against other writers.

    Raises:
        BlockingIOError: another process has it open for writing or reading.
    """

    def __init__(self, path: Path):
        super().__init__()
        recover(path)
        self._path = path
        self._fd = _open_locked(path, os.O_RDWR | os.O_CREAT)
        self._position = 0
        self._size = self._committed = os.fstat(self._fd).st_size
        self._pages: dict[int, bytearray] = {}
        self._abandoned = False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        target = memoryview(buffer).cast("B")
        start = self._position
        count = max(0, min(len(target), self._size - start))
        data = bytearray(os.pread(self._fd, count, start).ljust(count, b"\0"))
        for number in _page_numbers(start, min(start + count, self._committed)):
            if number in self._pages:
                page, first = self._pages[number], number * PAGE
                low, high = max(start, first), min(start + count, first + len(page))
                data[low - start : high - start] = page[low - first : high - first]
        target[:count] = data
        self._position += count
        return count

    def write(self, buffer) -> int:
        data = memoryview(buffer).cast("B")
        start, stop = self._position, self._position + len(data)
        if self._abandoned:
            self._position = stop
            return len(data)
        for number in _page_numbers(start, min(stop, self._committed)):
            page, first = self._page(number), number * PAGE
            low, high = max(start, first), min(stop, first + len(page))
            page[low - first : high - first] = data[low - start : high - start]
        offset = max(start, self._committed)
        while offset < stop:
            offset += os.pwrite(self._fd, data[offset - start :], offset)
        self._position = stop
        self._size = max(self._size, stop)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def commit(self) -> None:
        """Make everything written so far the state that a reader sees."""
        changes = [(number * PAGE, bytes(page)) for number, page in sorted(self._pages.items())]
        header = json.dumps({"size": self._size, "pages": [[offset, len(page)] for offset, page in changes]}).encode()
        body = len(header).to_bytes(8, "little") + header + b"".join(page for _, page in changes)
        journal = _journal_of(self._path)
        try:
            journal.write_bytes(hashlib.sha256(body).digest() + body)
        except OSError:
            journal.unlink(missing_ok=True)
            raise
        _apply(self._fd, self._size, changes)
        journal.unlink()
        self._pages.clear()
        self._committed = self._size

    def abandon(self) -> None:
        """Go back to the last committed state and ignore all later writes, so that HDF5 can let go of the file."""
        self._abandoned = True
        self._pages.clear()
        os.ftruncate(self._fd, self._committed)

    def close(self) -> None:
        """Close without committing."""
        if not self.closed:
            os.close(self._fd)
        super().close()

    def _page(self, number: int) -> bytearray:
        if number not in self._pages:
            length = min(PAGE, self._committed - number * PAGE)
            self._pages[number] = bytearray(os.pread(self._fd, length, number * PAGE))
        return self._pages[number]


def recover(path: Path) -> None:
    """Finish a commit that was cut off; a journal that is itself cut off is dropped, as nothing was changed yet.

    Raises:
        BlockingIOError: the file is being written.
    """
    journal = _journal_of(path)
    if not journal.exists():
        return
    fd = _open_locked(path, os.O_RDWR)
    try:
        content = journal.read_bytes()
        digest, body = content[:32], content[32:]
        if hashlib.sha256(body).digest() == digest:
            start = 8 + int.from_bytes(body[:8], "little")
            header, changes = json.loads(body[8:start]), []
            for offset, length in header["pages"]:
                changes.append((offset, body[start : start + length]))
                start += length
            _apply(fd, header["size"], changes)
        journal.unlink()
    finally:
        os.close(fd)


def _open_locked(path: Path, flags: int) -> int:
    fd = os.open(path, flags, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network disks have no locks: then go without
            os.close(fd)
            raise
    return fd


def _apply(fd: int, size: int, changes: list[tuple[int, bytes]]) -> None:
    for offset, page in changes:
        os.pwrite(fd, page, offset)
    os.ftruncate(fd, size)


def _journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


def _page_numbers(start: int, stop: int) -> range:
    return range(start // PAGE, (stop - 1) // PAGE + 1) if stop > start else range(0)
