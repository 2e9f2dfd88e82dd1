"""HTTP answers with something wrong: their JSON or events, head, framing, end or pace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from tests.hostile_studio import documents
from tests.hostile_studio.events import as_bytes, framed, odd_events
from tests.hostile_studio.values import SECRET, damaged, scrambled

# How an answer goes on after its last byte. "late" is bytes on what the peer takes for an idle connection.
Ending = Literal["keep", "close", "reset", "silence", "late"]
# A body of more than 256 kB is only searched at its end.
PADDING = b'"padding":"%s",' % (b"x" * 300_000)
SSE_HEAD = b"Content-Type: text/event-stream\r\n"
JSON_HEAD = b"Content-Type: application/json\r\n"


@dataclass(frozen=True)
class Answer:
    """`early` is sent before the request's body is read, `interim` before the head."""

    line: bytes
    head: bytes
    body: bytes
    framing: Literal["length", "chunked", "close"] = "length"
    interim: bytes = b""
    early: bool = False
    cut: int | None = None
    ending: Ending = "keep"
    after: bytes = b""
    pieces: int = 1

    def wire(self) -> bytes:
        """Return its bytes, up to where it is cut off."""
        match self.framing:
            case "length":
                rest = b"Content-Length: %d\r\n\r\n%s" % (len(self.body), self.body)
            case "chunked":
                rest = b"Transfer-Encoding: chunked\r\n\r\n" + _chunks(self.body)
            case _:
                rest = b"\r\n" + self.body
        whole = self.interim + self.line + b"\r\n" + self.head + rest
        return whole[: self.cut]


def _chunks(body: bytes, size: int = 65536) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def honest(path: str, *, stream: bool) -> Answer:
    """Return the answer with nothing wrong."""
    if stream:
        body = b"".join(framed(name, as_bytes(data)) for name, data in documents.streamed(path))
        return Answer(b"HTTP/1.1 200 OK", SSE_HEAD, body, "chunked")
    return Answer(b"HTTP/1.1 200 OK", JSON_HEAD, json.dumps(documents.plain(path)).encode())


def hostile(chance: Random, path: str, *, stream: bool) -> Answer:
    """Return an answer with one to three things wrong."""
    # LM Studio decides whether it streams, and may be wrong about that too.
    if chance.random() < 0.05:
        stream = not stream
    answer = honest(path, stream=stream)
    if chance.random() < 0.75:
        answer = replace(answer, body=_body(chance, path, stream=stream))
    if chance.random() < 0.1:
        answer = _fails(chance, answer)
    for damage in chance.choices(_DAMAGES, weights=_WEIGHTS, k=chance.choice((0, 1, 1, 2))):
        answer = damage(chance, answer)
    return replace(answer, pieces=chance.choice((1, 1, 1, 2, 7)))


def _body(chance: Random, path: str, *, stream: bool) -> bytes:
    if stream:
        body = odd_events(chance, documents.streamed(path))
    else:
        body = damaged(chance, documents.plain(path))
        if chance.random() < 0.1:
            body = body.replace(b"{", b"{" + PADDING, 1)
    return scrambled(chance, body) if chance.random() < 0.15 else body


# The head


def _fails(chance: Random, answer: Answer) -> Answer:
    status = chance.choice(
        (b"400 Bad Request", b"404 Not Found", b"429 X", b"500 Oops", b"503 X", b"529 ", b"599")
    )
    body = damaged(chance, documents.error()) if chance.random() < 0.7 else b"<html>%s" % SECRET.encode()
    return replace(answer, line=b"HTTP/1.1 " + status, head=JSON_HEAD, body=body)


_LINES = (
    *(
        b"HTTP/1.1 200",
        b"HTTP/1.0 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1  200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
    ),
    *(b"HTTP/1.1 099 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 -1 X", b"HTTP/1.1 2OO OK", b"HTTP/1.1 200 O\x00K"),
    *(
        b"HTTP/1.1 200 \xe9\xff",
        b"HTTP/1.1 200 \x1b[31m",
        b"HTTP/1.1 204 No",
        b"HTTP/1.1 304 Not",
        b"HTTP/1.1 101 Up",
    ),
    *(
        b"HTTP/1.1 302 Found",
        b"HTTP/1.1 206 Part",
        b"HTTP/1.1 200 " + b"r" * 20_000,
        b"",
        b"\x16\x03\x01",
        b"\n",
    ),
    *(b"Dear diary: %s" % SECRET.encode(), b"GET / HTTP/1.1", b'{"error":"%s"}' % SECRET.encode()),
)
_FIELDS = (
    *(
        b"X-A: \x00\r\n",
        b"X-A: \x1b[31m\r\n",
        b"X-A: \xff\xfe\r\n",
        b"X A: 1\r\n",
        b": 1\r\n",
        b" folded\r\n",
        b"X-A\r\n",
    ),
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1e3\r\n",
        b"Content-Length: +2\r\n",
    ),
    *(b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 100000\r\n", b"Content-Length: 0\r\n"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
    ),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: br, gzip, x\r\n",
        b"Content-Type: \r\n",
        b"Trailer: usage\r\n",
    ),
    *(b"Content-Type: text/event-stream; charset=\xe9\r\n", b"Content-Type: TEXT/EVENT-STREAM\r\n"),
    *(
        b"Connection: close\r\n",
        b"Connection: content-type, content-length\r\n",
        b"Upgrade: h2c\r\n",
        b"Location: //x\r\n",
    ),
    *(
        b"X-Request-Id: mine\r\n",
        b"Access-Control-Allow-Origin: *\r\n",
        b"Set-Cookie: a=b\r\n" * 3,
        b"Date: never\r\n",
    ),
    *(
        b"X-Long: " + b"v" * 70_000 + b"\r\n",
        b"".join(b"X-%d: v\r\n" % number for number in range(500)),
        b"\r\n",
    ),
    *(
        b"Keep-Alive: timeout=99999999999\r\n",
        b"Retry-After: -1\r\n",
        b"Via: 1.1 lmgateway-0000\r\n",
        b"\n",
        b"\x00",
    ),
)
_INTERIM = (
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n" * 3, b"HTTP/1.1 199 X\r\n\r\n"),
    *(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50,
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
    ),
    *(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"\r\n\r\n"),
)


def _odd_line(chance: Random, answer: Answer) -> Answer:
    return replace(answer, line=chance.choice(_LINES))


def _odd_field(chance: Random, answer: Answer) -> Answer:
    field = chance.choice(_FIELDS)
    return replace(answer, head=chance.choice((answer.head + field, field + answer.head, field)))


def _odd_interim(chance: Random, answer: Answer) -> Answer:
    return replace(answer, interim=chance.choice(_INTERIM))


# Framing, end and pace


def _other_framing(chance: Random, answer: Answer) -> Answer:
    framing: Literal["length", "chunked", "close"] = chance.choice(("length", "chunked", "close"))
    return replace(answer, framing=framing, ending="close" if framing == "close" else answer.ending)


_CHUNK_SIZES = (
    *(
        b"-1\r\n",
        b"zz\r\n",
        b"5;%s\r\n" % (b"x" * 100_000),
        b"fffffffffffffffff\r\n",
        b"5 \r\nhello\r\n",
        b"\r\n",
    ),
    *(
        b"5\nhello\n0\n\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhello\r\n0\r\n\r\n",
        b"9\r\nhello\r\n0\r\n\r\n",
    ),
    *(
        b"0\r\nTrailer: x\r\n\r\n",
        b"0\r\n" + b"T: x\r\n" * 5000 + b"\r\n",
        b"0\r\n\x00\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
    ),
)


def _bad_chunks(chance: Random, answer: Answer) -> Answer:
    good = _chunks(answer.body, chance.choice((10, 1000)))[:-5] if len(answer.body) < 10_000 else b""
    raw = b"Transfer-Encoding: chunked\r\n\r\n" + good + chance.choice(_CHUNK_SIZES)
    # What looks like the end of the fields is the beginning of the body.
    return replace(answer, head=answer.head + raw, body=b"", framing="close", ending=chance.choice(_ENDINGS))


_ENDINGS: tuple[Ending, ...] = ("keep", "close", "close", "reset", "silence")


def _cut(chance: Random, answer: Answer) -> Answer:
    return replace(answer, cut=chance.randrange(len(answer.wire()) + 1), ending=chance.choice(_ENDINGS[1:]))


def _extra(chance: Random, answer: Answer) -> Answer:
    """Bytes that no request asked for: at once, or when the connection is idle."""
    extra = chance.choice(
        (b"\r\n", b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nextra", answer.wire(), b"\x00" * 70)
    )
    return replace(answer, after=extra, ending=chance.choice(("keep", "close", "late")))


def _early(chance: Random, answer: Answer) -> Answer:
    return replace(answer, early=True, ending=chance.choice(("keep", "close", "reset")))


def _ends(chance: Random, answer: Answer) -> Answer:
    return replace(answer, ending=chance.choice(("close", "reset")))


def _drips(_chance: Random, answer: Answer) -> Answer:
    return replace(answer, pieces=len(answer.wire())) if len(answer.wire()) < 3000 else answer


_DAMAGES: tuple[Callable[[Random, Answer], Answer], ...]
_DAMAGES = (
    _odd_line,
    _odd_field,
    _odd_interim,
    _other_framing,
    _bad_chunks,
    _cut,
    _extra,
    _early,
    _ends,
    _drips,
)
_WEIGHTS = (2, 6, 2, 3, 3, 4, 4, 2, 2, 1)
