"""How many tokens an answer took, read from its bytes as they pass.

Works on what LM Studio's APIs have in common: a `usage` (OpenAI, Anthropic) or `stats` (native) object
somewhere in a JSON body, or in an event of a stream. Memory is bounded whatever passes.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from ..observe.tokens import TokenCount
from .headers import EVENT_STREAM
from .stream_end import FAILED, LAST_EVENTS, LONG_BYTES, fault_of, is_error, shortened
from .usage import read, without_usage

# An event that is longer isn't looked into. The last one of /v1/responses repeats the whole answer.
MAX_EVENT_BYTES = 1024**2
# A longer body is only looked at from its end, where these objects stand.
MAX_BODY_BYTES = 256 * 1024
TAIL_BYTES = 16 * 1024

_BOUNDARY = re.compile(rb"\r?\n\r?\n")
# Something that a person would see: text, a thought, a part of a tool call; never an empty one.
_TOKEN = re.compile(
    rb'content_block_delta|\.delta"|"(?:content|reasoning_content|reasoning|text|arguments)"\s*:\s*"(?!")'
)
_CONTENT = b'"content":"'
_QUOTE = b'"'
# In every event that says that the answer has failed, but for what is found at the stream's end.
_ERROR = b"error"
_USAGE, _STATS = b'"usage"', b'"stats"'
_ACCOUNT = re.compile(rb'"(?:usage|stats)"\s*:\s*\{')
_DATA_LINE = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)


class Meter(Protocol):
    """Stands where an answer passes. `feed` returns what goes on to the client, `finish` what was held."""

    count: TokenCount

    def feed(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class StreamMeter:
    """Reads Server-Sent Events (HTML standard, section 9.2.6), in whatever pieces they come.

    With `strips`, the usage in the last chunk is taken out, and the chunk if it has nothing else: the gateway
    asked for it, not the client. For that an event that isn't complete is held back, which no client could
    use yet anyway. A stream in which `end` isn't found has failed.
    """

    def __init__(self, *, strips: bool, end: re.Pattern[bytes] | None = None) -> None:
        self.count = TokenCount()
        self._strips = strips
        self._end = end
        self._last: deque[bytes] = deque(maxlen=LAST_EVENTS)
        self._rest = b""
        # The end of what has passed of an event that is too long to be looked into.
        self._long_tail: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        if not self._rest and self._long_tail is None and _is_one_event(chunk):
            return self._see(chunk)
        unread = self._skip_long(chunk)
        data = self._rest + chunk[unread:]
        passed, end = [chunk[:unread]], 0
        for event in _events(data):
            end += len(event)
            passed.append(self._see(event))
        self._rest = data[end:]
        if len(self._rest) > MAX_EVENT_BYTES:
            passed.append(self._rest)
            self._last.append(shortened(self._rest))
            self._long_tail, self._rest = self._rest[-3:], b""
        return b"".join(passed) if self._strips else chunk

    def _skip_long(self, chunk: bytes) -> int:
        """Return how much of the chunk still belongs to an event that is too long."""
        if self._long_tail is None:
            return 0
        joined = self._long_tail + chunk
        boundary = _BOUNDARY.search(joined)
        if boundary is None:
            self._long_tail = joined[-3:]
            return len(chunk)
        skipped = boundary.end() - len(self._long_tail)
        self._long_tail = None
        return skipped

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        if rest:  # a last event without its empty line still counts; it is broken, so it is passed on
            self._see(rest)
        if self._end is not None and self.count.fault is None:
            self.count.fault = fault_of(self._last, self._end)
        return rest if self._strips else b""

    def _see(self, event: bytes) -> bytes:
        """Count an event; return what of it passes."""
        self._last.append(event if len(event) <= LONG_BYTES else shortened(event))
        # bytes.find() takes 140 ns for a token, `in` 230.
        find = event.find
        if (find(_USAGE) >= 0 or find(_STATS) >= 0) and _ACCOUNT.search(event) is not None:
            data = _data(event)
            is_extra = read(data, self.count)
            if is_extra:
                return without_usage(event, data) if self._strips else event
        if find(_ERROR) >= 0 and is_error(event, _data(event)):
            self.count.fault = FAILED
        elif _is_token(event):
            self.count.seen += 1
        return event


def _data(event: bytes) -> bytes:
    return b"\n".join(_DATA_LINE.findall(event))


def _is_one_event(chunk: bytes) -> bool:
    """Tell whether this is exactly one event, as LM Studio sends them."""
    return chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk


def _is_token(event: bytes) -> bool:
    # The usual spelling of the usual event is looked for without a regular expression.
    start = event.find(_CONTENT)
    if start >= 0 and not event.startswith(_QUOTE, start + len(_CONTENT)):
        return True
    return _TOKEN.search(event) is not None


def _events(data: bytes) -> Iterator[bytes]:
    """Yield each complete event, with its empty line."""
    start = 0
    # Not finditer(), which puts a name of its own into CPython's type cache at each call, in another's place.
    while boundary := _BOUNDARY.search(data, start):
        yield data[start : boundary.end()]
        start = boundary.end()


def meter_for(media_type: str, *, hides_usage: bool, end: re.Pattern[bytes] | None) -> Meter | None:
    """Return what counts the tokens of a response of this type; None if it reports none.

    `end` finds the proper end of a stream, if it must have one.
    """
    if media_type.startswith(EVENT_STREAM):
        return StreamMeter(strips=hides_usage, end=end)
    return BodyMeter() if media_type.startswith("application/json") else None


class BodyMeter:
    """Reads a JSON body; of a long one only its end."""

    def __init__(self) -> None:
        self.count = TokenCount()
        self._kept = bytearray()
        self._is_whole = True

    def feed(self, chunk: bytes) -> bytes:
        self._kept += chunk
        if len(self._kept) > MAX_BODY_BYTES:
            self._is_whole = False
            del self._kept[:-TAIL_BYTES]
        return chunk

    def finish(self) -> bytes:
        read(bytes(self._kept) if self._is_whole else self._objects_in_tail(), self.count)
        return b""

    def _objects_in_tail(self) -> bytes:
        """Return the last usage and stats objects of the tail as a body of their own."""
        tail = self._kept[-TAIL_BYTES:].decode("utf-8", "replace")
        found: dict[str, object] = {}
        for name in ("usage", "stats"):
            start = tail.rfind(f'"{name}"')
            brace = tail.find("{", start)
            if start >= 0 and brace >= 0:
                try:
                    found[name], _ = json.JSONDecoder().raw_decode(tail, brace)
                except ValueError:
                    continue
        return msgspec.json.encode(found)
