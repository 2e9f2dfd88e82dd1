"""How a complete stream of each API ends, and how a stream reports an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

FAILED = "LM Studio ended its answer with an error."
UNFINISHED = "LM Studio's stream ended before the answer was complete."

# How many events are checked once a stream has ended: the end marker may be followed by usage and [DONE].
LAST_EVENTS = 4
# A longer event is shortened to its beginning, which has its name, and its end, which has the finish_reason.
LONG_BYTES = 4096
_HALF = LONG_BYTES // 2
# Of an answer without a token, at most so much of the end is held until its usage is known.
MAX_HELD_BYTES = 64 * 1024


def _named(names: bytes) -> re.Pattern[bytes]:
    """Return a pattern for events of these names, also those that have the name only in their data."""
    return re.compile(rb'^(?:event: ?|data: ?\{\s*"type"\s*:\s*")(?:%s)["\r\n]' % names, re.MULTILINE)


# JSON escapes line breaks and quotes in strings, so a model's text can't match these patterns.
OF_CHOICES = re.compile(rb'^data: ?\[DONE\]|"finish_reason"\s*:\s*"', re.MULTILINE)
OF_RESPONSES = _named(rb"response\.(?:completed|incomplete|failed)")
OF_MESSAGES = _named(rb"message_stop")
OF_NATIVE_CHAT = _named(rb"chat\.end")
_ERROR_EVENT = _named(rb"error|response\.failed")
_ERROR_OBJECT = re.compile(rb'^data:\s*\{\s*"error"\s*:(?!\s*null)', re.MULTILINE)


_ERROR_BEGINNINGS = (b"event: error", b"event: response.failed", b'data: {"error"', b'data: {"type":"error"')


class _Payload(Struct):
    error: Raw = Raw(b"null")


class HeldEnd:
    """The end of a stream without a token, which is held back because it may report a context overflow."""

    def __init__(self, end: re.Pattern[bytes] | None) -> None:
        self._end = end
        self._events: list[bytes] = []
        self._bytes = 0

    def has_room(self, event: bytes) -> bool:
        return self._bytes + len(event) <= MAX_HELD_BYTES

    def add(self, event: bytes) -> bool:
        """Hold the event if the end has begun; return whether it is held."""
        if not self._events and (self._end is None or self._end.search(event) is None):
            return False
        self._events.append(event)
        self._bytes += len(event)
        return True

    def joined(self) -> bytes:
        return b"".join(self._events)


def is_error(event: bytes, data: bytes) -> bool:
    """True if this event reports that the answer has failed, by its name or only by its data."""
    if _ERROR_EVENT.search(event) is not None:
        return True
    try:
        return bytes(msgspec.json.decode(data, type=_Payload).error) != b"null"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # a lone surrogate; nested too deep
        return _ERROR_OBJECT.search(event) is not None


def reports_error(end: bytes) -> bool:
    """True if an event among these last bytes of a stream reports that the answer has failed."""
    return _ERROR_EVENT.search(end) is not None or _ERROR_OBJECT.search(end) is not None


def may_be_error(beginning: bytes) -> bool:
    """True if this may be the beginning of an event that reports an error."""
    return any(beginning.startswith(known) or known.startswith(beginning) for known in _ERROR_BEGINNINGS)


def shortened(event: bytes) -> bytes:
    """Return the parts of a long event that the end of a stream is recognised by."""
    return event[:_HALF] + event[-_HALF:]


def fault_of(last: Iterable[bytes], end: re.Pattern[bytes]) -> str | None:
    """Return why a stream that ended with these events has failed, None if it is complete."""
    if any(map(_ERROR_EVENT.search, last)):
        return FAILED
    return None if any(map(end.search, last)) else UNFINISHED
