"""The folder of LM Studio's log: `<directory>/YYYY-MM/YYYY-MM-DD.N.log`, read while it is written."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from pathlib import Path

from ...observe.events import Event
from .events import MonthTransition
from .records import LogFile, LogReader, Place

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.25
"""How long nothing is written until what was found of a record is all that is to come."""

# Some file systems count in steps of this.
MODIFIED_SECONDS = 2

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}\Z")


class LogFolder:
    """All of the log's files, read in a thread: the one that is being written, and which comes next."""

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
        """Close the file, when nothing is read of it any more."""
        with self._busy:
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def wait(self) -> list[Event]:
        """Return what was written as soon as there is something; nothing once stopped."""
        with self._busy:
            return self._wait()

    def _wait(self) -> list[Event]:
        read_at = time.monotonic()
        while not self.stopped.is_set():
            events = self._look()
            if events:
                return events
            if events is not None:
                read_at = time.monotonic()
            elif self._reader.waiting and time.monotonic() - read_at >= QUIET_SECONDS:
                return self._reader.settle()
            else:
                self.stopped.wait(self._poll_seconds)
        return []

    def _look(self) -> list[Event] | None:
        """Return what comes next, None if there is nothing new."""
        self._troubles.clear()
        try:
            events = self._read()
        except (OSError, ValueError) as exc:
            self._note(self._directory, exc)
            events = None
        # While there is more to read, nobody looks what else is wrong.
        if events is None and self._troubles != self._logged:
            # Once for as long as it lasts, not at each look.
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
        if old is not None and (events := self._read_on(old)) is not None:
            return events
        new = self._successor()
        if new is None:
            return None
        if old is None:
            self._file = new
            return []
        # It may have been written to before the next one was made.
        if (events := self._read_on(old)) is not None:
            new.close()
            return events
        return self._change(old, new)

    def _read_on(self, file: LogFile) -> list[Event] | None:
        try:
            return file.read(self._reader)
        except OSError as exc:
            # A handle doesn't survive a network drive's return; the file does.
            file.broken = True
            self._note(file.path, exc)
            return None

    def _change(self, old: LogFile, new: LogFile) -> list[Event]:
        old.close()
        self._file = new
        if new.path == old.path and new.goes_on_from(old):
            return []
        events = self._reader.end_file()
        if new.path.parent != old.path.parent:
            old_month, new_month = str(old.path.parent), str(new.path.parent)
            events.append(
                MonthTransition(old_directory=old_month, new_directory=new_month, new_log_file=str(new.path))
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
        # If there is none, whatever is there later is new.
        self._started = True
        return []

    def _successor(self) -> LogFile | None:
        """Open the file that is to be read after this one, if there is one."""
        if self._file is None:
            return self._first(self._places(""))
        current = self._file.place
        places = self._places(current.month)
        if current in places:
            self._known = places
            later = places[places.index(current) + (0 if self._file.is_replaced() else 1) :]
        else:
            # All was deleted: LM Studio may begin anew with a number that comes before.
            later = [place for place in places if place > current or place not in self._known]
            self._known = [place for place in self._known if place in places]
        return next(filter(None, map(self._open, later)), None)

    def _first(self, places: list[Place]) -> LogFile | None:
        """Open the first that was written since this began; if all are older, the last one, at its end."""
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
        """Return the files of this month and of all later ones, in order."""
        listing = []
        try:
            months = os.listdir(self._directory)  # noqa: PTH208 - names will do, and cost less
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
            found = [Place.of(month, name) for month, names in listing for name in names]
            self._listing, self._listed = listing, sorted(filter(None, found))
        return self._listed

    def _note(self, path: Path, exc: Exception) -> None:
        self._troubles.add(f"{path}: {exc.strerror if isinstance(exc, OSError) else exc}")
