"""The head of a message, as it is sent."""

from __future__ import annotations

from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict


def head_of(start_line: str, fields: CIMultiDict[str]) -> bytes:
    """Return the head with its empty line. Raises ValueError for fields that would be more than one line.

    aiohttp looks at each character by itself, which takes 7,000 instructions more for a proxied request and
    its response, 1 % of them all.
    """
    lines = [start_line, *map(": ".join, fields.items())]
    text = "".join(lines)
    if not text.isascii() or "\n" in text or "\r" in text or "\0" in text:
        return _serialize_headers(start_line, fields)
    lines += ("", "")
    return "\r\n".join(lines).encode()
