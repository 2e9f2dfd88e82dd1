"""LM Studio's log as it is read: a file to bytes, bytes to lines, lines to records, records to events.

A line is told the moment it is complete, and so is what stands on one line. What is spread over several (the
sampling parameters, the token counts) is told once all of it was found, or a line shows that no more of it
will come. If neither happens, a short quiet time ends it: LM Studio writes a record in one go, so what hasn't
come by then isn't on its way. What comes all the same is told once more, with what was told before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...observe.events import Event
from .events import DebugLog, TokenInfo, line_event, number_pairs, sampling_params

CHUNK_BYTES = 64 * 1024
REMEMBERED_BYTES = 1024
LINE_BYTES = 16 * 1024
"""A line's bytes beyond these are cut off: somebody's picture in a record is no reason to keep it."""
SAMPLING_PARAMS = 100
"""No more lines of parameters are read after so many of them."""

_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,18})\.log\Z")
_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\]\[([A-Za-z]+)\](.*)", re.ASCII | re.DOTALL)
# Who says it: [LM STUDIO SERVER], a model's identifier, or both. Brackets in a row are read in one direction.
_SOURCES = re.compile(r"\s*(?:\[[^\]]*\]\s*)*")
_PAIR_BEGINS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]* = ")
_COUNT = r"([0-9]{1,18})(?![0-9])"
_TOTAL = re.compile(rf"Total prompt tokens: {_COUNT}")
_TO_DECODE = re.compile(rf"Prompt tokens to decode: {_COUNT}")
_SAMPLING = "Sampling params:"
_GENERATE = "Generate:"
_GENERATE_NAMES = frozenset({"n_ctx", "n_batch", "n_predict", "n_keep"})


class LogReader:
    """Turns the log's bytes, cut anywhere, into events."""

    def __init__(self) -> None:
        self._records = _Records()
        self._partial = b""

    @property
    def waiting(self) -> bool:
        """Whether `settle` would tell something."""
        return self._records.waiting

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        # Bytes, not text, are cut into lines: UTF-8 has no line feed inside of a character, and what other
        # line ends Unicode knows are LM Studio's to write.
        first, *others = data.split(b"\n")
        lines = [self._partial + first, *others]
        # Two more than a line may have, so that its end can still be told from a cut one's.
        self._partial = lines.pop()[: LINE_BYTES + 2]
        return [event for line in lines for event in self._records.line(_text(line))]

    def settle(self) -> list[Event]:
        """Return what was found of that which isn't complete, because nothing was written for a while."""
        return list(self._records.settle())

    def end_file(self) -> list[Event]:
        """Return what a last line without an end tells: no more of it will come."""
        if not self._partial:
            return []
        line, self._partial = self._partial, b""
        return list(self._records.line(_text(line)))


def _text(line: bytes) -> str:
    line = line.removesuffix(b"\r")
    if len(line) > LINE_BYTES:
        # The cut may be inside of a character; that one is left out.
        return line[:LINE_BYTES].decode("utf-8", "ignore") + "…"
    return line.decode("utf-8", "replace").removeprefix("\ufeff")


class _Records:
    """Knows the record that a line belongs to, and what was found of it so far."""

    def __init__(self) -> None:
        # Empty until the first stamp.
        self._stamp: dict[str, str] = {}
        self._level = ""
        # None while no parameters are being read; else with how many of them are told.
        self._sampling: dict[str, float] | None = None
        self._sampling_told = 0
        self._tokens: dict[str, Any] = {}
        self._tokens_told = 0

    @property
    def waiting(self) -> bool:
        return len(self._sampling or ()) > self._sampling_told or len(self._tokens) > self._tokens_told

    def line(self, raw: str) -> Iterator[Event]:
        """Tell one line, and what it completes."""
        stamped = _STAMP.match(raw)
        text = stamped[3] if stamped else raw
        told = text[_SOURCES.match(text).end() :].strip()  # type: ignore[union-attr] # it matches nothing, too
        if self._sampling is not None and not self._goes_on(told, stamped=stamped is not None):
            yield from self._settle_sampling()
            self._sampling = None
        if stamped:
            self._stamp, self._level = {"timestamp": stamped[1]}, stamped[2].upper()
        yield DebugLog(level=self._level, message=text.strip(), raw=raw, **self._stamp)
        yield from self._found(told)

    def settle(self) -> Iterator[Event]:
        yield from self._settle_sampling()
        yield from self._settle_tokens()

    def _goes_on(self, told: str, *, stamped: bool) -> bool:
        # Some versions stamp the parameters once more, after a record that has only their heading.
        return _PAIR_BEGINS.match(told) is not None and not (stamped and self._sampling)

    def _found(self, told: str) -> Iterator[Event]:
        if self._sampling is not None:
            if len(self._sampling) < SAMPLING_PARAMS:
                self._sampling.update(number_pairs(told))
        elif told.startswith(_SAMPLING):
            self._sampling, self._sampling_told = dict(number_pairs(told.removeprefix(_SAMPLING))), 0
        elif told.startswith(_GENERATE):
            # Of a generation whose totals never came.
            yield from self._settle_tokens()
            pairs = number_pairs(told.removeprefix(_GENERATE))
            self._tokens = {name: int(number) for name, number in pairs if name in _GENERATE_NAMES}
            self._tokens_told = 0
        elif total := _TOTAL.match(told):
            self._tokens["total_prompt_tokens"] = int(total[1])
        elif to_decode := _TO_DECODE.match(told):
            self._tokens["prompt_tokens_to_decode"] = int(to_decode[1])
            yield from self._settle_tokens()
            self._tokens, self._tokens_told = {}, 0
        elif event := line_event(told):
            yield event

    def _settle_sampling(self) -> Iterator[Event]:
        if self._sampling is not None and len(self._sampling) > self._sampling_told:
            self._sampling_told = len(self._sampling)
            yield sampling_params(self._sampling)

    def _settle_tokens(self) -> Iterator[Event]:
        if len(self._tokens) > self._tokens_told:
            self._tokens_told = len(self._tokens)
            yield TokenInfo(**self._tokens)


class Place(NamedTuple):
    """A file's place in the order in which LM Studio writes them."""

    month: str
    day: str
    number: int
    name: str

    @classmethod
    def of(cls, month: str, name: str) -> Place | None:
        """Return the place of a file of this name, None if it's no log file."""
        found = _NAME.match(name)
        return cls(month, found[1], int(found[2]), name) if found else None


class LogFile:
    """One open file, and how far it is read. It knows what it has read again, to notice when that is gone."""

    def __init__(self, place: Place, path: Path) -> None:
        self.place = place
        self.path = path
        self.broken = False
        self._file = path.open("rb", buffering=0)
        self._position = 0
        self._before = b""
        self._read_until: tuple[int, int] | None = None

    @property
    def modified(self) -> float:
        return os.fstat(self._file.fileno()).st_mtime

    def close(self) -> None:
        self._file.close()

    def skip(self, reader: LogReader) -> None:
        """Go to the end. The reader gets to know the record that is there; what it tells of it is dropped."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - CHUNK_BYTES))
        data = self._file.read(size - self._file.tell()) if size else b""
        reader.feed(data)
        reader.settle()
        self._advance(size, data)

    def read(self, reader: LogReader) -> list[Event] | None:
        """Return what the next bytes tell, None if there are none: the price of that is one system call."""
        status = os.fstat(self._file.fileno())
        if (state := (status.st_size, status.st_mtime_ns)) == self._read_until:
            return None
        events = []
        if not self._holds(status.st_size, self._position, self._before):
            # Emptied, and maybe written again beyond where we were.
            events = reader.end_file()
            self._position, self._before = 0, b""
        self._file.seek(self._position)
        data = self._file.read(CHUNK_BYTES)
        if not data:
            self._read_until = state
            return events or None
        self._advance(self._position + len(data), data)
        return events + reader.feed(data)

    def is_replaced(self) -> bool:
        """Whether another file has its name now."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return self.broken or not os.path.samestat(now, os.fstat(self._file.fileno()))

    def goes_on_from(self, other: LogFile) -> bool:
        """Whether this is a copy of what was read there; if so, it is read on from the same position."""
        size = os.fstat(self._file.fileno()).st_size
        if not other._before or not self._holds(size, other._position, other._before):
            return False
        self._position, self._before = other._position, other._before
        return True

    def _advance(self, position: int, data: bytes) -> None:
        self._position = position
        self._before = (self._before + data)[-REMEMBERED_BYTES:]

    def _holds(self, size: int, position: int, before: bytes) -> bool:
        if size < position:
            return False
        self._file.seek(position - len(before))
        return self._file.read(len(before)) == before
