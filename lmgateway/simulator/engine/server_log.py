"""LM Studio's server log: rotated files, and live subscribers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, TextIO

import msgspec

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]

LISTENER_EVENTS = 1000
"""How far a listener may fall behind before it loses the oldest events."""


class LogEvent(msgspec.Struct, frozen=True):
    """What `diagnostics.streamLogs` sends; `data` has a `type`, which decides its other fields."""

    timestamp: int
    """Milliseconds since 1970."""
    data: dict[str, object]


class ServerLog:
    """`<directory>/YYYY-MM/YYYY-MM-DD.N.log`, N beginning at 1; nothing is written without a directory.

    Only a record's first line is stamped, `[2025-07-19 20:33:33][INFO][source] …`.
    """

    def __init__(self, directory: Path | None) -> None:
        self.rotate_bytes = 10_000_000
        self._directory = directory
        self._file: TextIO | None = None
        self._day = ""
        self._listeners: set[asyncio.Queue[LogEvent]] = set()

    @property
    def has_readers(self) -> bool:
        """False if all that is written is dropped, so that costly records needn't be made."""
        return self._directory is not None or bool(self._listeners)

    def write(self, level: Level, content: str, source: str | None = None) -> None:
        """Write a record to the file, and to the listeners. `source` is mostly a model's identifier."""
        if not self.has_readers:
            return
        now = datetime.now().astimezone()
        tag = " " if source is None else f"[{source}] "
        record = f"[{now:%Y-%m-%d %H:%M:%S}][{level}]{tag}{content}"
        self.publish({"type": "server.log", "content": record, "level": level.lower()})
        if self._directory is not None:
            file = self._current_file(self._directory, now)
            file.write(f"{record}\n")
            file.flush()

    def publish(self, data: dict[str, object]) -> None:
        """Send an event to the listeners only."""
        event = LogEvent(time.time_ns() // 1_000_000, data)
        for listener in self._listeners:
            if listener.full():
                listener.get_nowait()
            listener.put_nowait(event)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[LogEvent]]:
        listener: asyncio.Queue[LogEvent] = asyncio.Queue(LISTENER_EVENTS)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Close the file. What connections write that end later is dropped."""
        self._directory = None
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current_file(self, directory: Path, now: datetime) -> TextIO:
        day = f"{now:%Y-%m-%d}"
        if self._file is not None and (day != self._day or self._file.tell() >= self.rotate_bytes):
            self._close_file()
        if self._file is None:
            folder = directory / f"{now:%Y-%m}"
            folder.mkdir(parents=True, exist_ok=True)
            self._day = day
            self._file = self._next_path(folder, day).open("a", encoding="utf-8")
        return self._file

    def _next_path(self, folder: Path, day: str) -> Path:
        """Return the day's first file that isn't full; a restarted simulator appends to the last one."""
        number = 1
        while (path := folder / f"{day}.{number}.log").exists() and path.stat().st_size >= self.rotate_bytes:
            number += 1
        return path
