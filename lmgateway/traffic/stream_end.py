"""How a stream of each API ends if nothing went wrong, and how it says that something did."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

FAILED = "LM Studio ended its answer with an error."
UNFINISHED = "LM Studio's stream ended before the answer was complete."

# How many events are looked at once a stream has ended: behind its end come the usage and [DONE].
LAST_EVENTS = 4
# Of a longer event, the beginning has its name, and the end has the finish_reason.
LONG_BYTES = 4096
_HALF = LONG_BYTES // 2


def _named(names: bytes) -> re.Pattern[bytes]:
    """Return what finds an event of these names, also where only its data tells the name."""
    return re.compile(rb'^(?:event: ?|data: ?\{\s*"type"\s*:\s*")(?:%s)["\r\n]' % names, re.MULTILINE)


# A line break or a quote in a text of JSON is escaped, so none of these is found in what a model wrote.
OF_CHOICES = re.compile(rb'^data: ?\[DONE\]|"finish_reason"\s*:\s*"', re.MULTILINE)
OF_RESPONSES = _named(rb"response\.(?:completed|incomplete|failed)")
OF_MESSAGES = _named(rb"message_stop")
OF_NATIVE_CHAT = _named(rb"chat\.end")
_ERROR_EVENT = _named(rb"error|response\.failed")
_ERROR_OBJECT = re.compile(rb'^data:\s*\{\s*"error"\s*:(?!\s*null)', re.MULTILINE)


class _Payload(Struct):
    error: Raw = Raw(b"null")


def is_error(event: bytes, data: bytes) -> bool:
    """Return whether this event says that the answer has failed: by its name, or by its data alone."""
    if _ERROR_EVENT.search(event) is not None:
        return True
    try:
        return bytes(msgspec.json.decode(data, type=_Payload).error) != b"null"
    except (msgspec.MsgspecError, UnicodeDecodeError):  # half a character in a quotation of the prompt
        return _ERROR_OBJECT.search(event) is not None


def shortened(event: bytes) -> bytes:
    """Return what of a long event tells whether it is the last one."""
    return event[:_HALF] + event[-_HALF:]


def fault_of(last: Iterable[bytes], end: re.Pattern[bytes]) -> str | None:
    """Return what is wrong with a stream that ended with these events."""
    if any(map(_ERROR_EVENT.search, last)):
        return FAILED
    return None if any(map(end.search, last)) else UNFINISHED
