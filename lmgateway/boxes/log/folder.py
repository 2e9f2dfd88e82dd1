"""The folder of LM Studio's log: `<directory>/YYYY-MM/YYYY-MM-DD.N.log`, read while it is written."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from pathlib import Path

from ...observe.events import Event
from ...untrusted import PATH_CHARACTERS, text
from .events import MonthTransition
from .file import LogFile, Place
from .records import LogReader

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.25
"""After so long without a write, a record that is read in part counts as complete."""

# The coarsest resolution of a file system's modification times (FAT).
MODIFIED_SECONDS = 2

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}\Z")


class LogFolder:
    """The log's files, read in a thread: follows the one that is being written, then its successor."""

    def __init__(self, directory: Path, poll_seconds: float) -> None:
        self.stopped = threading.Event()
        self._busy = threading.Lock()
        self._directory = directory
        self._poll_seconds = poll_seconds
        self._reader = LogReader()
        self._began = time.time()
        self._started = False
        self._file: LogFile | None = None
        self._listing: list[tuple[str, list[str]]] = []
        self._listed: list[Place] = []
        self._known: list[Place] = []
        self._troubles: set[str] = set()
        self._logged: set[str] = set()

    def close(self) -> None:
        """Close the file, once a running `wait` has returned."""
        with self._busy:
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def wait(self) -> list[Event]:
        """Block until something was written, and return its events; [] once `stopped` is set."""
        with self._busy:
            return self._wait()

    def _wait(self) -> list[Event]:
        read_at = time.monotonic()
        while not self.stopped.is_set():
            events = self._poll()
            if events:
                return events
            if events is not None:
                read_at = time.monotonic()
            elif self._reader.waiting and time.monotonic() - read_at >= QUIET_SECONDS:
                return self._reader.settle()
            else:
                self.stopped.wait(self._poll_seconds)
        return []

    def _poll(self) -> list[Event] | None:
        """Return the next events, None if nothing was written. Logs when reading fails or works again."""
        self._troubles.clear()
        try:
            events = self._read()
        except (OSError, ValueError) as exc:
            self._note(self._directory, exc)
            events = None
        # `_troubles` is complete only when nothing is left to read: before that, later files aren't examined.
        if events is None and self._troubles != self._logged:
            # Once for each problem, not at every poll.
            if new := sorted(self._troubles - self._logged):
                logger.warning("LM Studio's log can't be followed: %s", "; ".join(new))
            elif not self._troubles:
                logger.info("LM Studio's log can be followed again")
            self._logged = set(self._troubles)
        return events

    def _read(self) -> list[Event] | None:
        if not self._started:
            return self._start()
        old = self._file
        if old is not None and (events := self._read_from(old)) is not None:
            return events
        new = self._successor()
        if new is None:
            return None
        if old is None:
            self._file = new
            return []
        # LM Studio may have written to it after our last read and before it created the next file.
        if (events := self._read_from(old)) is not None:
            new.close()
            return events
        return self._change(old, new)

    def _read_from(self, file: LogFile) -> list[Event] | None:
        try:
            return file.read(self._reader)
        except OSError as exc:
            # When a network drive comes back, the open handle is dead but the path works: open it again.
            file.broken = True
            self._note(file.path, exc)
            return None

    def _change(self, old: LogFile, new: LogFile) -> list[Event]:
        old.close()
        self._file = new
        if new.path == old.path and new.continues(old):
            return []
        events = self._reader.end_file()
        if new.path.parent != old.path.parent:
            old_month, new_month, file = map(_shown, (old.path.parent, new.path.parent, new.path))
            events.append(
                MonthTransition(old_directory=old_month, new_directory=new_month, new_log_file=file)
            )
        return events

    def _start(self) -> list[Event] | None:
        self._close_file()
        self._known = places = self._places("")
        if places:
            file = self._open(places[-1])
            if file is None:
                return None
            self._file = file
            file.skip(self._reader)
        # Without any file yet, every later one is read from its beginning.
        self._started = True
        return []

    def _successor(self) -> LogFile | None:
        """Open the file that follows the current one, if there is one."""
        if self._file is None:
            return self._first(self._places(""))
        current = self._file.place
        places = self._places(current.month)
        if current in places:
            self._known = places
            later = places[places.index(current) + (0 if self._file.is_replaced() else 1) :]
        else:
            # The log was deleted: LM Studio may start again with a lower number.
            later = [place for place in places if place > current or place not in self._known]
            self._known = [place for place in self._known if place in places]
        return next(filter(None, map(self._open, later)), None)

    def _first(self, places: list[Place]) -> LogFile | None:
        """Open the first file modified since the start; if there is none, the last one, at its end."""
        for place in places:
            file = self._open(place)
            if file is not None:
                if file.modified >= self._began - MODIFIED_SECONDS:
                    return file
                if place == places[-1]:
                    file.skip(self._reader)
                    return file
                file.close()
        return None

    def _open(self, place: Place) -> LogFile | None:
        path = self._directory / place.month / place.name
        try:
            return LogFile(place, path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._note(path, exc)
            return None

    def _places(self, since: str) -> list[Place]:
        """Return the files of the month `since` and of all later ones, in order."""
        listing = []
        try:
            months = os.listdir(self._directory)  # noqa: PTH208 - only names are needed, and they cost less
        except FileNotFoundError as exc:
            self._note(self._directory, exc)
            months = []
        for month in sorted(months):
            if month >= since and _MONTH.match(month):
                try:
                    listing.append((month, os.listdir(self._directory / month)))  # noqa: PTH208
                except FileNotFoundError:
                    continue
                except OSError as exc:
                    self._note(self._directory / month, exc)
        if listing != self._listing:
            places = [Place.of(month, name) for month, names in listing for name in names]
            self._listing, self._listed = listing, sorted(filter(None, places))
        return self._listed

    def _note(self, path: Path, exc: Exception) -> None:
        self._troubles.add(f"{path}: {exc.strerror if isinstance(exc, OSError) else exc}")


def _shown(path: Path) -> str:
    # A byte that isn't UTF-8 is a lone surrogate in a path.
    return text(str(path), PATH_CHARACTERS) or ""
