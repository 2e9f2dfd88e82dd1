"""Server-Sent Events with something wrong: in their data, their lines, their order or their ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from tests.hostile_studio import documents
from tests.hostile_studio.documents import Event
from tests.hostile_studio.values import damaged, odd_value

# An event of more than a megabyte isn't parsed.
LONG = b"x" * (2 * 1024**2)


def as_bytes(data: documents.Document | str) -> bytes:
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def framed(name: str, data: bytes, end: bytes = b"\n") -> bytes:
    line = b"event: %s%s" % (name.encode(), end) if name else b""
    return line + b"data: " + data + end + end


def odd_events(chance: Random, events: Sequence[Event]) -> bytes:
    end = chance.choice((b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r"))
    places = set(chance.choices(range(len(events)), k=chance.choice((1, 1, 2))))
    if chance.random() < 0.5:
        # The usage is in one of the last two.
        places.add(len(events) - 2)
    stream = b""
    for place, (name, data) in enumerate(events):
        written = as_bytes(data)
        if place not in places:
            stream += framed(name, written, end)
        elif isinstance(data, str) or chance.random() < 0.4:
            stream += chance.choice(_DAMAGES)(chance, name, written, end)
        else:
            stream += framed(name, damaged(chance, data), end)
    return stream


def _twice(_chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    return framed(name, data, end) * 2


def _no_empty_line(_chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    return framed(name, data, end)[: -len(end)]


def _missing(_chance: Random, _name: str, _data: bytes, _end: bytes) -> bytes:
    return b""


def _long(chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    if chance.random() < 0.8:
        return framed(name, data, end)
    return framed(name, b'{"long":"%s"}' % LONG, end) + framed(name, data, end)


def _error_between(chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    failure = damaged(chance, documents.error())
    return framed(chance.choice(("", "error")), failure, end) + framed(name, data, end)


def _other_lines(chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    lines = (
        b": comment",
        b"id: \x00",
        b"retry: 1e999",
        b"data",
        b"event:",
        b"\xef\xbb\xbf",
        b"data:",
        b"nonsense",
    )
    return chance.choice(lines) + end + framed(name, data, end)


def _several_lines(_chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    return framed(name, data.replace(b", ", b"," + end + b"data: "), end)


def _spread(chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    """Spaces between the members, as many as an event may have."""
    spaces = b" " * chance.choice((10, 3000, 20_000))
    return framed(name, data.replace(b', "', spaces + b"," + spaces + b'"'), end)


def _escaped(_chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    return framed(name, data.replace(b'"usage"', b'"us\\u0061ge"').replace(b'"stats"', b'"st\\u0061ts"'), end)


def _usage_twice(chance: Random, name: str, data: bytes, end: bytes) -> bytes:
    usage = b'"usage":%s,"usage":{"prompt_tokens":%s}' % (odd_value(chance), odd_value(chance))
    return framed(name, data.replace(b"{", b"{%s," % usage, 1), end)


def _other_value(chance: Random, name: str, _data: bytes, end: bytes) -> bytes:
    return framed(name, odd_value(chance), end)


_DAMAGES = (
    *(_twice, _no_empty_line, _missing, _long, _error_between, _other_lines, _several_lines, _spread),
    *(_escaped, _usage_twice, _other_value),
)
