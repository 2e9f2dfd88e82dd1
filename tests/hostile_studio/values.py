"""Odd JSON values, as bytes, and what puts them into a document. The same `chance` gives the same bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

# Part of every text that stands for a model's answer. The gateway must log none of it.
SECRET = "dear-diary"

NUMBERS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e308", b"-1e308", b"1e309", b"1e-400", b"-0.0", b"-0", b"0.5"),
    *(b"-1", b"0", b"1.5", b"2147483648", b"9223372036854775807", b"9223372036854775808"),
    *(b"18446744073709551616", b"1" + b"0" * 30, b"1" + b"0" * 400, b"-1" + b"0" * 400, b"9" * 5000),
    *(b"01", b"1_0", b"0x10", b"+1", b"1.", b".5", b"1e", b"1e99999"),
)
HALVES = (b'"\\ud83d"', b'"\\ude00\\ud83d"', b'"a\\udfffb"', b'"%s\\ud83d"' % (b"n" * 300))
TEXTS = (
    *(b'""', b'"\\u0000"', b'"\\u001b]0;x\\u0007\\u001b[2J"'),
    *(
        b'"\\r\\nINFO x: y"',
        b'"\\u202egnp.exe"',
        b'"\\u2028\\u2029"',
        b'"\xff\xfe"',
        b'"\xed\xa0\x80"',
        b'"a\nb"',
    ),
    *(b'"\x1b[31m"', b'"data: [DONE]\\n\\n"', b'"\\"}"', b'"1"', b'"NaN"', b'"../../etc"', b'"<script>"'),
    *(b'"\\x"', b'"unended', b"'single'", '"h\u00e4\u00df \U0001f600"'.encode()),
)
OTHERS = (
    *(
        b"null",
        b"true",
        b"false",
        b"[]",
        b"{}",
        b"[null]",
        b'{"":null}',
        b'[{"a":1},[],"x"]',
        b'{"type":"x"}',
    ),
    *(b"undefined", b"", b"{", b"]", b"{}{}", b"// comment"),
)
_LARGE = (
    lambda: b'"%s"' % (b"n" * 900_000),
    lambda: b'"%s"' % (b"\\ud83d" * 50_000),
    lambda: b"[" * 3000 + b"]" * 3000,
    lambda: b'{"a":' * 2500 + b"1" + b"}" * 2500,
    lambda: b"[%s1]" % (b"1," * 50_000),
    lambda: b"{%s}" % b",".join(b'"k%d":%d' % (number, number) for number in range(20_000)),
    lambda: b" " * 200_000 + b"1",
)
_LARGE_SHARE = 0.02
# Members that the gateway reads, which are damaged more often than others.
READ = frozenset(
    {
        *("usage", "stats", "error", "choices", "message", "response", "result", "type", "finish_reason"),
        *("modelKey", "path", "identifier", "displayName", "sizeBytes", "contextLength", "ttlMs", "progress"),
        *(
            "callId",
            "channelId",
            "info",
            "fields",
            "key",
            "value",
            "title",
            "cause",
            "suggestion",
            "displayData",
        ),
    }
)


def odd_value(chance: Random) -> bytes:
    if chance.random() < _LARGE_SHARE:
        return chance.choice(_LARGE)()
    return chance.choice(chance.choice((NUMBERS, NUMBERS, HALVES, TEXTS, OTHERS)))


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    members = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(members):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _choose(chance: Random, document: Any) -> tuple[Any, Any] | None:
    places = list(_places(document))
    read = [
        place for place in places if place[1] in READ or (isinstance(place[1], str) and "token" in place[1])
    ]
    if read and chance.random() < 0.6:
        places = read
    return chance.choice(places) if places else None


def damaged(chance: Random, document: dict[str, Any] | list[Any]) -> bytes:
    """Return a document as JSON, or as what is no longer JSON, after a few changes to its values."""
    document, odd = copy.deepcopy(document), list[bytes]()
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = _choose(chance, document)
        if place is None:
            return odd_value(chance)
        _change(chance, *place, odd)
    spaces = chance.choice((None, None, (" , ", "\t:\n"), (",", ":")))
    text = json.dumps(document, separators=spaces, ensure_ascii=chance.random() < 0.5)
    data = text.encode("utf-8", "surrogatepass")
    for number, value in enumerate(odd):
        data = data.replace(b'"@%d"' % number, value, 1)
    return data.replace(b'"@again ', b'"')


def _change(chance: Random, container: Any, key: Any, odd: list[bytes]) -> None:
    how = chance.random()
    if how < 0.1:
        del container[key]
    elif how < 0.2 and isinstance(container, dict):
        # A member for the second time.
        container[f"@again {key}"] = _marked(chance, odd)
    elif how < 0.25 and isinstance(container, dict):
        container["odd member"] = container.pop(key)
    elif how < 0.3 and isinstance(container, list):
        container.extend([container[key]] * chance.choice((1, 3, 1000)))
    else:
        container[key] = _marked(chance, odd)


def _marked(chance: Random, odd: list[bytes]) -> str:
    odd.append(odd_value(chance))
    return f"@{len(odd) - 1}"


def scrambled(chance: Random, data: bytes) -> bytes:
    """Change some bytes, whatever they mean."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        where = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data = data[:where] + chance.randbytes(chance.choice((1, 3))) + data[where:]
            case 1:
                data = data[:where] + data[where + chance.choice((1, 2, 20)) :]
            case 2:
                data = data[:where] + data[where : where + chance.randrange(1, 40)] * 2 + data[where:]
            case _:
                piece = chance.choice((b"\x00", b"\r", b"\n", b"\n\n", b"\r\n", b"\xff", b'"'))
                data = data[:where] + piece + data[where:]
    return data
