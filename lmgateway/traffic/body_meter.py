"""Reads the token counts and the model's name of a JSON body, of a long one from its two ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from ..observe.tokens import TokenCount
from .usage import read

# Of a longer body only the members at its two ends are parsed.
MAX_BODY_BYTES = 256 * 1024
END_BYTES = 16 * 1024
# What is read is a few members from an end. Others of the same names are nested, or in the text of a tool.
MAX_PARTS = 8
_NAMED = re.compile(rb'"model(?:_instance_id)?"\s*:\s*"(?>(?:[^"\\]|\\.)*)"')
_NAME = re.compile(rb'"(?:usage|stats|model|model_instance_id|response_id)"\s*:')


class BodyMeter:
    """Reads a JSON body; of a long one only the members at its two ends."""

    def __init__(self, *, max_bytes: int = MAX_BODY_BYTES, end_bytes: int = END_BYTES) -> None:
        self.count = TokenCount()
        self._max_bytes = max_bytes
        self._end_bytes = end_bytes
        self._kept = bytearray()
        # The beginning of a long body, whose end is kept.
        self._head: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        self._kept += chunk
        if len(self._kept) > self._max_bytes:
            if self._head is None:
                self._head = bytes(self._kept[: self._end_bytes])
            del self._kept[: -self._end_bytes]
        return chunk

    def finish(self) -> bytes:
        if self._head is None:
            read(bytes(self._kept), self.count)
        else:
            for part in _parts_of_ends(self._head, bytes(self._kept[-self._end_bytes :])):
                read(part, self.count)
        return b""

    def held_back(self) -> bytes:
        return b""


def _parts_of_ends(head: bytes, tail: bytes) -> Iterator[bytes]:
    """Yield texts that are JSON only if they consist of members of the whole object, not of one inside it.

    The text before a member of the object ends inside no other object or array, so it needs only its brace
    closed; the text from such a member on needs only one opened.
    """
    for member in islice(_NAMED.finditer(head), MAX_PARTS):
        yield head[: member.end()] + b"}"
    for member in [*_NAME.finditer(tail)][-MAX_PARTS:]:
        yield b"{" + tail[member.start() :]
