"""Counts the tokens of a response, and reads which model answers, from its bytes while they are relayed.

All of LM Studio's APIs report the tokens in a `usage` (OpenAI, Anthropic) or `stats` (native) object,
somewhere in a JSON body or in an event of a stream. One of a stream's first events names the model. Memory is
bounded whatever the size of the response.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from ..observe.tokens import TokenCount
from .body_meter import BodyMeter
from .headers import EVENT_STREAM, JSON
from .stream_end import FAILED, LAST_EVENTS, LONG_BYTES, HeldEnd, fault_of, is_error, may_be_error, shortened
from .studio_errors import StreamOverflowed, check_overflow
from .usage import read, without_usage

# A longer event isn't parsed. The last event of /v1/responses repeats the whole answer.
MAX_EVENT_BYTES = 1024**2
MAX_STRIPPED_BYTES = 64 * 1024
# The model's name isn't searched for in later events: comments may precede the one that has it.
NAMING_EVENTS = 8

# Many empty lines are one boundary.
_BOUNDARY = re.compile(rb"\r?\n(?:\r?\n)+")
# What a model has generated: text, reasoning or a part of a tool call, and never an empty one.
_GENERATED = re.compile(
    rb'"(?:content|reasoning(?:_content)?|arguments|text|thinking|partial_json|delta)"\s*:\s*"(?!")'
)
# The name of an event, on its own line or at least in its data. The chunks of choices have none, or the
# default, `message`.
_EVENT_NAME = re.compile(rb'(?:(?!event:|data:)[^\n]*\n)*(?:event:[ ]?|data:[ ]?\{\s*"type"\s*:\s*")([\w.]+)')
_CONTENT, _QUOTE, _DELTA_LINE, _D = b'"content":"', b'"', b"delta\n", ord("d")
# Every event that reports a failure contains it, but for those that are checked at the end of the stream.
_ERROR = b"error"
_USAGE, _STATS, _MODEL = b'"usage"', b'"stats"', b'"model'
_ACCOUNT = re.compile(rb'"(?:usage|stats)"\s*:\s*\{')
_DATA_LINE = re.compile(rb"^data:[ ]?([^\n]*)", re.MULTILINE)


class Meter(Protocol):
    """Reads a response while it is relayed. `feed` returns what to relay now, `finish` what was held back.

    If one of them raised, `held_back` returns what wasn't relayed before it, and the meter isn't used again.
    """

    count: TokenCount

    def feed(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def held_back(self) -> bytes: ...


class StreamMeter:
    """Reads Server-Sent Events (HTML standard, section 9.2.6), split at any byte.

    With `strips`, the usage that the gateway requested is removed from the last chunk, and the whole chunk if
    nothing else is in it. Incomplete events are held back for that; a client couldn't use them yet anyway.
    A stream without a match of `end` has failed.

    With `mends`, `feed` raises StreamOverflowed at an event that reports a context overflow, and the end of a
    stream without a token is held back until `finish`, because it may be such an overflow too.
    """

    def __init__(
        self,
        *,
        strips: bool,
        end: re.Pattern[bytes] | None = None,
        mends: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.count = TokenCount()
        self._max_event_bytes = max_event_bytes
        self._strips = strips
        self._end = end
        self._mends = mends
        # None once there was a token.
        self._ending = HeldEnd(end) if mends else None
        # The last event with a token and what followed it: a stream that has ended generates no more.
        self._tail: deque[bytes] = deque(maxlen=LAST_EVENTS)
        self._rest = b""
        # How much of the rest was relayed already.
        self._relayed = 0
        # The last bytes relayed of an event that is too long to be parsed; None outside such an event.
        self._long_tail: bytes | None = None
        # In how many further events the model's name is searched for.
        self._naming_events = NAMING_EVENTS
        # True if the next chunk begins with an event that is only counted.
        self._is_plain = False

    def feed(self, chunk: bytes) -> bytes:
        if self._is_plain and _is_one_event(chunk):
            return self._see(chunk)
        unread = self._skip_long(chunk)
        data, passed = self._rest + chunk[unread:], [chunk[:unread]]
        end, relayed = 0, self._relayed
        # The rest was searched already, but for a boundary that the chunk completes.
        for event in _events(data, max(0, len(self._rest) - 3)):
            end += len(event)
            self._find_model(event)
            try:
                passed.append(self._see(event)[relayed:])
            except StreamOverflowed as exc:
                exc.passed, exc.is_cut = b"".join(passed), relayed > 0
                raise
            relayed = 0
        self._rest = data[end:]
        passed.append(self._passed_of_rest(relayed))
        self._is_plain = not self._rest and self._long_tail is None and not self._naming_events
        return b"".join(passed)

    def _passed_of_rest(self, relayed: int) -> bytes:
        """Return what to relay of the event that isn't complete; so much of it was relayed already."""
        rest = self._rest
        if len(rest) > self._max_event_bytes:
            self._tail.append(shortened(rest))
            self._long_tail, self._rest, self._relayed = rest[-3:], b"", 0
            return self._release_end() + rest[relayed:]
        # Before the first token an incomplete event is held, because its end may have to be.
        if not relayed and (self._strips or self._ending is not None or (self._mends and may_be_error(rest))):
            self._relayed = 0
            return b""
        self._relayed = len(rest)
        return rest[relayed:]

    def _skip_long(self, chunk: bytes) -> int:
        """Return how many bytes of the chunk still belong to an event that is too long."""
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
        held, self._ending = self._ending, None
        if self._rest:  # a last event without its empty line: counted, and relayed unchanged as it is broken
            self._find_model(self._rest)
            try:
                self._see(self._rest)
            except StreamOverflowed as exc:
                exc.is_cut = self._relayed > 0
                raise
        if self._end is not None and self.count.fault is None:
            self.count.fault = fault_of(self._tail, self._end)
        self._ending = held
        return self.held_back()

    def held_back(self) -> bytes:
        return self._release_end() + self._rest[self._relayed :]

    def _find_model(self, event: bytes) -> None:
        """Read the model's name, if it isn't known and this is one of the first events."""
        if self._naming_events:
            self._naming_events -= 1
            if _MODEL in event:
                read(_data(event), self.count)
            if self.count.model is not None:
                self._naming_events = 0

    def _see(self, event: bytes) -> bytes:
        """Count an event; return what of it is relayed."""
        # bytes.find() takes 140 ns for a token, `in` 230.
        find = event.find
        if (find(_USAGE) >= 0 or find(_STATS) >= 0) and _ACCOUNT.search(event) is not None:
            data = _data(event)
            is_extra = read(data, self.count)
            if is_extra:
                # Nothing is removed from a long chunk, in which that would take long; LM Studio's is short.
                is_stripped = self._strips and len(event) <= MAX_STRIPPED_BYTES
                passed = without_usage(event, data) if is_stripped else event
                return self._hold_end(passed)
        if find(_ERROR) >= 0 and is_error(event, _data(event)):
            if self._mends:
                check_overflow(_data(event))
            self.count.fault = FAILED
        elif _is_token(event):
            self.count.seen += 1
            # Only the last token stays in memory: with more, a hundred streams leave the processor's caches.
            self._tail.clear()
        self._tail.append(event if len(event) <= LONG_BYTES else shortened(event))
        return event if self._ending is None else self._hold_end(event)

    def _hold_end(self, event: bytes) -> bytes:
        """Hold the end of a stream that has no token yet; return what is relayed."""
        ending = self._ending
        if ending is not None and (self.count.seen or not ending.has_room(event)):
            return self._release_end() + event
        return b"" if ending is not None and ending.add(event) else event

    def _release_end(self) -> bytes:
        """Return what is held of the end, and hold nothing more."""
        held, self._ending = self._ending, None
        return b"" if held is None else held.joined()


def _data(event: bytes) -> bytes:
    # The line's end isn't in the pattern: a lazy `.*?\r?$` takes 40 ms for a megabyte.
    return b"\n".join([line.removesuffix(b"\r") for line in _DATA_LINE.findall(event)])


def _is_one_event(chunk: bytes) -> bool:
    """True if this is exactly one event, as LM Studio sends them."""
    return chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk


def _is_token(event: bytes) -> bool:
    # The usual spelling of the usual event is searched for without a regular expression, which is slower.
    start = event.find(_CONTENT)
    has_content = start >= 0 and not event.startswith(_QUOTE, start + len(_CONTENT))
    if has_content and event[0] == _D:
        return True
    if not has_content and _GENERATED.search(event) is None:
        return False
    # Events such as `response.output_text.done` and `chat.end` repeat what was generated.
    if event.find(_DELTA_LINE) >= 0:
        return True
    name = _EVENT_NAME.match(event)
    return name is None or name[1].endswith((b"delta", b"message"))


def _events(data: bytes, searched: int) -> Iterator[bytes]:
    """Yield each complete event, with its empty line; none ends before `searched`."""
    start = 0
    # Not finditer(): each of its calls evicts an entry from CPython's type cache.
    while boundary := _BOUNDARY.search(data, searched):
        searched = boundary.end()
        yield data[start:searched]
        start = searched


def meter_for(
    media_type: str, *, hides_usage: bool, end: re.Pattern[bytes] | None, mends: bool = False
) -> Meter | None:
    """Return the meter for a response of this type; None if such a response reports no tokens.

    `end` matches the proper end of a stream, if it must have one. `mends` as for StreamMeter.
    """
    if media_type.startswith(EVENT_STREAM):
        return StreamMeter(strips=hides_usage, end=end, mends=mends)
    return BodyMeter() if media_type.startswith(JSON) else None
