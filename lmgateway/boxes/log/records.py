"""LM Studio's log as it is read: a file to bytes, bytes to lines, lines to records, records to events.

An event that one line is enough for is published when the line is complete. Sampling parameters and token
counts are spread over several lines: their event is published when all lines were read, or a line shows that
no more follow. If neither happens, a quiet period ends the record, because LM Studio writes a record in one
go. Should more of it follow even so, the event is published again, with the earlier values and the new ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...observe.events import Event
from ...untrusted import count
from .events import DebugLog, TokenInfo, line_event, number_pairs, sampling_params, token_counts

CHUNK_BYTES = 64 * 1024
REMEMBERED_BYTES = 1024
LINE_BYTES = 16 * 1024
"""A longer line is cut off: a record may hold a whole picture, in base64."""
SAMPLING_PARAMS = 100
"""At most so many parameters of one record are read."""

_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,18})\.log\Z")
_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\]\[([A-Za-z]+)\](.*)", re.ASCII | re.DOTALL)
# The source: [LM STUDIO SERVER], a model's identifier, or both. The pattern can't backtrack for long.
_SOURCES = re.compile(r"\s*(?:\[[^\]]*\]\s*)*")
_PAIR_BEGINS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]* = ")
_COUNT = r"([0-9]{1,18})(?![0-9])"
_TOTAL = re.compile(rf"Total prompt tokens: {_COUNT}")
_TO_DECODE = re.compile(rf"Prompt tokens to decode: {_COUNT}")
_SAMPLING = "Sampling params:"
_GENERATE = "Generate:"
_GENERATE_NAMES = frozenset({"n_ctx", "n_batch", "n_predict", "n_keep"})


class LogReader:
    """Turns the log's bytes, cut anywhere, into events. Of a longer line, `line_bytes` are read."""

    def __init__(self, *, line_bytes: int = LINE_BYTES) -> None:
        self._line_bytes = line_bytes
        self._records = _Records()
        self._partial = b""

    @property
    def waiting(self) -> bool:
        """True if `settle` would return events."""
        return self._records.waiting

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        # Lines are split in bytes, before decoding: no UTF-8 character contains a line feed, and Unicode's
        # other line separators are part of a message.
        first, *others = data.split(b"\n")
        lines = [self._partial + first, *others]
        # Two bytes more than a line may have, so that `_text` sees whether it was cut off.
        self._partial = lines.pop()[: self._line_bytes + 2]
        return [event for line in lines for event in self._records.line(self._text(line))]

    def settle(self) -> list[Event]:
        """Return the events of incomplete records. To be called after a quiet period."""
        return list(self._records.settle())

    def end_file(self) -> list[Event]:
        """Return the events of a last line without a line feed: the file has ended."""
        if not self._partial:
            return []
        line, self._partial = self._partial, b""
        return list(self._records.line(self._text(line)))

    def _text(self, line: bytes) -> str:
        line = line.removesuffix(b"\r")
        if len(line) > self._line_bytes:
            # The cut may be inside a character, which is then left out.
            return line[: self._line_bytes].decode("utf-8", "ignore") + "…"
        return line.decode("utf-8", "replace").removeprefix("\ufeff")


class _Records:
    """The record that is being read, and the values read of it so far."""

    def __init__(self) -> None:
        # Empty until the first stamp.
        self._stamp: dict[str, str] = {}
        self._level = ""
        # None while no parameters are being read. `_…_reported` counts the values already published.
        self._sampling: dict[str, float] | None = None
        self._sampling_reported = 0
        self._tokens: dict[str, Any] = {}
        self._tokens_reported = 0

    @property
    def waiting(self) -> bool:
        return (
            len(self._sampling or ()) > self._sampling_reported or len(self._tokens) > self._tokens_reported
        )

    def line(self, raw: str) -> Iterator[Event]:
        """Yield the event of the line itself, and the events that it completes."""
        stamped = _STAMP.match(raw)
        text = stamped[3] if stamped else raw
        content = text[_SOURCES.match(text).end() :].strip()  # type: ignore[union-attr] # it matches an empty text, too
        if self._sampling is not None and not self._continues_sampling(content, stamped=stamped is not None):
            yield from self._settle_sampling()
            self._sampling = None
        if stamped:
            self._stamp, self._level = {"timestamp": stamped[1]}, stamped[2].upper()
        yield DebugLog(level=self._level, message=text.strip(), raw=raw, **self._stamp)
        yield from self._parse(content)

    def settle(self) -> Iterator[Event]:
        yield from self._settle_sampling()
        yield from self._settle_tokens()

    def _continues_sampling(self, content: str, *, stamped: bool) -> bool:
        # Some versions write the heading as a record of its own, and stamp the parameters after it again.
        return _PAIR_BEGINS.match(content) is not None and not (stamped and self._sampling)

    def _parse(self, content: str) -> Iterator[Event]:
        if self._sampling is not None:
            if len(self._sampling) < SAMPLING_PARAMS:
                self._sampling.update(number_pairs(content))
        elif content.startswith(_SAMPLING):
            self._sampling, self._sampling_reported = dict(number_pairs(content.removeprefix(_SAMPLING))), 0
        elif content.startswith(_GENERATE):
            # First report the previous generation, if LM Studio never logged its totals.
            yield from self._settle_tokens()
            pairs = number_pairs(content.removeprefix(_GENERATE))
            self._tokens = token_counts(pairs, _GENERATE_NAMES)
            self._tokens_reported = 0
        elif total := _TOTAL.match(content):
            self._set_token("total_prompt_tokens", total[1])
        elif to_decode := _TO_DECODE.match(content):
            self._set_token("prompt_tokens_to_decode", to_decode[1])
            yield from self._settle_tokens()
            self._tokens, self._tokens_reported = {}, 0
        elif event := line_event(content):
            yield event

    def _set_token(self, name: str, digits: str) -> None:
        if (tokens := count(int(digits))) is not None:
            self._tokens[name] = tokens

    def _settle_sampling(self) -> Iterator[Event]:
        if self._sampling is not None and len(self._sampling) > self._sampling_reported:
            self._sampling_reported = len(self._sampling)
            yield sampling_params(self._sampling)

    def _settle_tokens(self) -> Iterator[Event]:
        if len(self._tokens) > self._tokens_reported:
            self._tokens_reported = len(self._tokens)
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
