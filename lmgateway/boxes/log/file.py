"""One file of LM Studio's log, and its place among the others."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from ...observe.events import Event
from .records import LogReader

CHUNK_BYTES = 64 * 1024
REMEMBERED_BYTES = 1024

_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,18})\.log\Z")


class Place(NamedTuple):
    """A file's place in the order in which LM Studio writes them."""

    month: str
    day: str
    number: int
    name: str

    @classmethod
    def of(cls, month: str, name: str) -> Place | None:
        """Return the place of a file of this name, None if it's no log file."""
        match = _NAME.match(name)
        return cls(month, match[1], int(match[2]), name) if match else None


class LogFile:
    """One open file and the position in it. Remembers the last bytes read, to notice a truncated file."""

    def __init__(self, place: Place, path: Path) -> None:
        self.place = place
        self.path = path
        self.broken = False
        self._file = path.open("rb", buffering=0)
        self._position = 0
        self._tail = b""
        self._read_until: tuple[int, int] | None = None

    @property
    def modified(self) -> float:
        return os.fstat(self._file.fileno()).st_mtime

    def close(self) -> None:
        self._file.close()

    def skip(self, reader: LogReader) -> None:
        """Go to the end. Feeds the last record to the reader, so that it can continue it, but no event."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - CHUNK_BYTES))
        data = self._file.read(size - self._file.tell()) if size else b""
        reader.feed(data)
        reader.settle()
        self._advance(size, data)

    def read(self, reader: LogReader) -> list[Event] | None:
        """Return the events of the next bytes, None if there are none, which costs one system call to see."""
        status = os.fstat(self._file.fileno())
        if (state := (status.st_size, status.st_mtime_ns)) == self._read_until:
            return None
        events = []
        if not self._holds(status.st_size, self._position, self._tail):
            # The file was truncated, and may have been written again beyond our position.
            events = reader.end_file()
            self._position, self._tail = 0, b""
        self._file.seek(self._position)
        data = self._file.read(CHUNK_BYTES)
        if not data:
            self._read_until = state
            return events or None
        self._advance(self._position + len(data), data)
        return events + reader.feed(data)

    def is_replaced(self) -> bool:
        """True if another file has this one's name now, as after a rotation."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return self.broken or not os.path.samestat(now, os.fstat(self._file.fileno()))

    def continues(self, other: LogFile) -> bool:
        """True if this file is a copy of the other one; it is then read on from the same position."""
        size = os.fstat(self._file.fileno()).st_size
        if not other._tail or not self._holds(size, other._position, other._tail):
            return False
        self._position, self._tail = other._position, other._tail
        return True

    def _advance(self, position: int, data: bytes) -> None:
        self._position = position
        self._tail = (self._tail + data)[-REMEMBERED_BYTES:]

    def _holds(self, size: int, position: int, tail: bytes) -> bool:
        if size < position:
            return False
        self._file.seek(position - len(tail))
        return self._file.read(len(tail)) == tail
