"""Good requests, and what can be done to them. The same seed and index always give the same bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from tests.hostile.conftest import KEY

# Letters that are digits in no base, so that only lengths look like lengths.
_DIGITS = str.maketrans("0123456789", "ghjklmnopq")
_HOST = b"Host: gateway.local\r\n"
_KEY = b"X-API-Key: " + KEY.encode() + b"\r\n"
_JSON = b'{"messages":[{"role":"user","content":"hi"}],"stream":false,"model":"some/model-of-mine"}'
_STREAM = b'{"stream":true,"messages":[],"max_tokens":1e2,"stream_options":{"some_option":"\xc3\xa9"}}'
_HEAD = b"HTTP/1.1\r\n" + _HOST + _KEY

GOOD = (
    b"GET /v1/models/CASE " + _HEAD + b"\r\n",
    b"GET /v1/models/CASE?a=1&b=%2F+x HTTP/1.1\r\n"
    + _HOST
    + b"Authorization: Bearer %s\r\nAccept: */*\r\n\r\n" % KEY.encode(),
    b"HEAD /api/v0/models/CASE " + _HEAD + b"Connection: keep-alive, x-private\r\nX-Private: 1\r\n\r\n",
    b"POST /v1/chat/completions " + _HEAD + b"Content-Type: application/json\r\nX-Case: CASE\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_JSON), _JSON),
    b"POST /api/v0/chat/completions "
    + _HEAD
    + b"X-Case: CASE\r\nContent-Length: %d\r\n\r\n" % len(_STREAM)
    + _STREAM,
    b"POST /v1/files/CASE " + _HEAD + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\nsome body",
    b"POST /v1/files/CASE " + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    b"4\r\nsome\r\n5;x=y\r\n body\r\n0\r\nX-Trailer: 1\r\n\r\n",
    b"POST /v1/embeddings "
    + _HEAD
    + b"Transfer-Encoding: chunked\r\nTrailer: X-Case\r\n\r\n"
    b'e\r\n{"input":"hi",\r\n18\r\n"dimensions":1,"x":"CASE\r\n2\r\n"}\r\n0\r\n\r\n'.replace(
        b"18\r\n", b"%x\r\n" % len(b'"dimensions":1,"x":"CASE')
    ),
    b"GET http://gateway.local/v1/models/CASE?q " + _HEAD + b"Via: 1.1 other\r\n\r\n",
    b"GET /v1/models/CASE " + _HEAD + b"\r\nDELETE /v1/files/CASE " + _HEAD + b"\r\n",
    b"POST /models/CASE " + _HEAD + b"Content-Length: 4\r\n\r\nbodyGET /v1/models/CASE " + _HEAD + b"\r\n",
    b"GET /v1/models/CASE HTTP/1.0\r\n" + _KEY + b"Connection: keep-alive\r\n\r\n",
    b"GET /v1/realtime/CASE " + _HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"DELETE /debug/requests/CASE " + _HEAD + b"\r\nGET /debug/status " + _HEAD + b"\r\n",
    b"POST /admin/models/deactivate "
    + _HEAD
    + b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    b'{"type":"embedding"}',
    b"OPTIONS /v1/models/CASE HTTP/1.1\r\n" + _HOST + b"Origin: http://page.example\r\n"
    b"Access-Control-Request-Method: GET\r\n\r\n",
)

_NUMBERS = (
    *(b"0", b"1", b"-1", b"+1", b"0x10", b"1e3", b"1_0", b"1 1", b"1,1", b"", b"65", b"255", b"4095"),
    *(b"65535", b"2147483648", b"18446744073709551616", b"99999999999999999999999", b"\xd9\xa1", b"f" * 17),
)
_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b"\x00\r\n", b"\x0b\r\n", b"")
_PIECES = (
    *(b"\x00", b"\r", b"\n", b"\t", b" ", b":", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80"),
    *(b"%", b"%00", b"%2e%2e", b"..", b"//", b"/../", b"#", b"?", b"\\", b"@", b";", b",", b'"', b"http://"),
)
_VALUES = (
    *(
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b"{",
        b"}",
        b"]",
        b"1e999",
        b"-0",
        b"\\u0000",
        b"\\ud800",
        b"\\",
    ),
    *(b"%25%32%65", b"%c0%ae", b"%FF", b"%0d%0a", b"%1b[31m", b"\xf0\x9f\x98\x80", b"x, ", b"*", b"bytes=0-"),
)
_LINES = (
    *(b"Content-Length: 5\r\n", b"Content-Length: 6, 6\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: other\r\n"),
    *(b"transfer-encoding:\x0bchunked\r\n", b"Content-Length : 5\r\n", b" folded: 1\r\n", b": empty\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close, host\r\n", b"Connection: content-length\r\n"),
    *(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", b"Content-Encoding: gzip\r\n"),
    *(b"X-Forwarded-For: \xff, ::, 1.2.3.4:99999\r\n", b"Via: 1.1 \x80\r\n", b"Origin: null\r\n"),
    *(b"X-Request-Id: \xff\r\n", b"X-A: \xe9\r\n", b"Proxy-Connection: x\r\n", b"TE: trailers\r\n"),
    b"Sec-WebSocket-Key: x\r\n",
)

Mutation = Callable[[random.Random, bytes], bytes]


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _flip(chance: random.Random, data: bytes) -> bytes:
    where = chance.randrange(len(data))
    return data[:where] + bytes([data[where] ^ 1 << chance.randrange(8)]) + data[where + 1 :]


def _overwrite(chance: random.Random, data: bytes) -> bytes:
    """Replace the last part, which may be a body, by as many other bytes."""
    where, piece = chance.randrange(len(data) // 2, len(data)), chance.choice(_PIECES + _VALUES)
    return data[:where] + piece[: len(data) - where] + data[where + len(piece) :]


def _in_target(chance: random.Random, data: bytes) -> bytes:
    start = data.find(b" ") + 1
    end = max(start, data.find(b" ", start))
    where = chance.randrange(start, end + 1)
    return data[:where] + chance.choice(_PIECES + _VALUES) + data[where:]


def _in_value(chance: random.Random, data: bytes) -> bytes:
    found = chance.choice(list(re.finditer(rb": ", data)) or [None])
    if found is None:
        return data
    return data[: found.end()] + chance.choice(_PIECES + _VALUES + _NUMBERS) + data[found.end() :]


def _other_case(chance: random.Random, data: bytes) -> bytes:
    where = _place(chance, data)
    end = where + chance.randrange(1, 20)
    return data[:where] + data[where:end].swapcase() + data[end:]


def _insert(chance: random.Random, data: bytes) -> bytes:
    where = _place(chance, data)
    return data[:where] + chance.choice(_PIECES) + data[where:]


def _delete(chance: random.Random, data: bytes) -> bytes:
    where = _place(chance, data)
    return data[:where] + data[where + chance.choice((1, 1, 2, 5, 20)) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    where = _place(chance, data)
    return data[:where] + data[where : where + chance.randrange(1, 40)] * 2 + data[where:]


def _lines(change: Callable[[random.Random, list[bytes]], None]) -> Mutation:
    def mutate(chance: random.Random, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        change(chance, lines)
        return b"".join(lines)

    return mutate


def _duplicate_line(chance: random.Random, lines: list[bytes]) -> None:
    lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(lines))


def _drop_line(chance: random.Random, lines: list[bytes]) -> None:
    del lines[chance.randrange(len(lines))]


def _swap_lines(chance: random.Random, lines: list[bytes]) -> None:
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _add_line(chance: random.Random, lines: list[bytes]) -> None:
    lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(_LINES))


def _odd_end(chance: random.Random, lines: list[bytes]) -> None:
    which = chance.randrange(len(lines))
    lines[which] = lines[which].rstrip(b"\r\n") + chance.choice(_ENDS)


def _number(chance: random.Random, data: bytes) -> bytes:
    found = chance.choice(list(re.finditer(rb"[0-9]+", data)) or [None])
    if found is None:
        return data
    return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]


def _oversize(chance: random.Random, data: bytes) -> bytes:
    where = _place(chance, data)
    bit = chance.choice((b"x", b"x: y\r\n", b"%41", b"/a", b"0", b"\r\n", b" ", b"zz, "))
    return data[:where] + bit * (chance.choice((300, 9000, 40_000)) // len(bit)) + data[where:]


_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _insert, _delete, _repeat, _number, _number),
    *(_overwrite, _overwrite, _overwrite, _in_target, _in_target, _in_value, _in_value, _other_case),
    *map(_lines, (_duplicate_line, _drop_line, _swap_lines, _add_line, _add_line, _odd_end)),
)


def good(index: int) -> bytes:
    """One of the good requests, with a mark that no other one has."""
    mark = str(index).translate(_DIGITS).encode()
    data = GOOD[index % len(GOOD)]
    # Of the same length, so that Content-Length stays right.
    return data.replace(b"CASE", mark.rjust(4, b"z")[-4:] if b"dimensions" in data else mark)


def mutated(seed: str, index: int) -> bytes:
    chance = random.Random(f"{seed}/{index}")
    data = good(index)
    for _ in range(chance.choice((1, 1, 1, 1, 2, 4))):
        # Long ones cost time; a few are enough.
        mutation = _oversize if chance.random() < 0.01 else chance.choice(_MUTATIONS)
        data = mutation(chance, data) or data
    return data
