"""Promises about responses that are malformed HTTP or none. RFC 9112 sections 4 to 7, RFC 9110 section 15."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Connect
from tests.hostile.wire import CHAT, PLAIN_BODY, STREAM_BODY, ask, post
from tests.support.upstream import ScriptedUpstream, raw

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"Content-Length: 2\r\n\r\nok"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"

NO_HTTP = [
    b"hello\r\n\r\n",
    b"<html>HTTP/0.9</html>",
    b"\x15\x03\x01\x00\x02\x02\x50",
    b"\x00" * 1000,
    bytes(range(256)),
    b"x" * 1_000_000,
    b"\n" * 1000 + b"no",
    b"SSH-2.0-OpenSSH_9.2p1\r\n",
    b"ICY 200 OK\r\n" + BODY,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"okok" + OK + BODY,
]
STATUS_LINES = [
    line + b"\r\n" + BODY
    for line in (
        b"HTTP/9.9 200 OK",
        b"HTTP/2 200",
        b"HTTP/1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 2e2 OK",
        b"HTTP/1.1 -200 OK",
        b"HTTP/1.1 OK 200",
        b"HTTP/1.1",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
    )
]
HEADER_LINES = [
    OK + line + b"\r\n" + BODY
    for line in (
        b"no colon",
        b": no name",
        b"a name: x",
        b"X\x7f: x",
        b"\xc3\xa9: x",
        b"(): x",
        b"X: a\rb",
        b"Content-Length: 3",
        b"Content-Length: 2, 3",
        b"Transfer-Encoding: chunked",
    )
]
LENGTHS = [
    OK + b"Content-Length: %s\r\n\r\nok" % length
    for length in (b"nonsense", b"", b"-2", b"+2", b"0x2", b"2.0", b"2 2", b"18446744073709551618", b"\xb2")
]
CHUNK_SIZES = [
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    for chunks in (
        b"zz\r\nok\r\n0\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"10000000000000002\r\nok\r\n",
        b"0x2\r\nok\r\n",
    )
]
NULS = [
    b"\x00" + OK + BODY,
    b"HTTP/1.1\x00 200 OK\r\n" + BODY,
    b"HTTP/1.1 200\x00 OK\r\n" + BODY,
    OK + b"X: a\x00b\r\n" + BODY,
    OK + b"X\x00: a\r\n" + BODY,
    OK + b"Content-Length: 2\x00\r\n\r\nok",
]
HUGE = [
    b"HTTP/1.1 200 " + b"x" * 200_000 + b"\r\n" + BODY,
    OK + b"X: " + b"x" * 200_000 + b"\r\n" + BODY,
    OK + b"X" * 200_000 + b": x\r\n" + BODY,
    OK + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + BODY,
    OK + b"X: y\r\n z\r\n" * 50_000 + BODY,
]
BREAKS_OFF = [
    b"",
    b"\r\n",
    b"H",
    b"HTTP/1.1 2",
    OK,
    OK + b"Content-Length: 2\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
]


@pytest.mark.parametrize(
    ("body", "then_close"),
    [(PLAIN_BODY, True), (STREAM_BODY, False)],
    ids=["plain, closed", "stream, left open"],
)
@pytest.mark.parametrize(
    "heads",
    [NO_HTTP, STATUS_LINES, HEADER_LINES, LENGTHS, CHUNK_SIZES, NULS, HUGE],
    ids=["no HTTP", "status lines", "header lines", "lengths", "chunk sizes", "NULs", "huge"],
)
async def test_an_answer_that_is_no_http_is_a_5xx_at_once(
    connect: Connect, upstream: ScriptedUpstream, heads: list[bytes], body: bytes, then_close: bool
) -> None:
    for count, sent in enumerate(heads, 1):
        upstream.script = raw(sent, then_close=then_close)
        assert (await ask(connect, post(CHAT, body))).status == 502, sent[:100]
        assert len(upstream.received) == count, sent[:100]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"HTTP/1.1 000 OK\r\n" + BODY, id="status 000"),
        pytest.param(b"HTTP/1.1 099 OK\r\n" + BODY, id="status 099"),
        pytest.param(b"HTTP/1.1 200 O\x00K\r\n" + BODY, id="NUL in the reason"),
        pytest.param(OK + b"Content-Length : 2\r\n\r\nok", id="space after Content-Length"),
        pytest.param(OK + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS, id="space after a coding"),
        pytest.param(OK + b"Transfer-Encoding: xyz\r\n\r\n" + CHUNKS, id="unknown coding"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS, id="packed"),
    ],
)
async def test_an_answer_that_is_not_quite_http_is_a_5xx(
    connect: Connect, upstream: ScriptedUpstream, sent: bytes
) -> None:
    upstream.script = raw(sent)
    assert (await ask(connect, post(CHAT, PLAIN_BODY))).status == 502


async def test_an_answer_that_ends_before_it_begins_is_a_5xx(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for count, sent in enumerate(BREAKS_OFF, 1):
        upstream.script = raw(sent)
        assert (await ask(connect, post(CHAT, PLAIN_BODY))).status == 502, sent
        assert len(upstream.received) == count, sent


async def test_an_endless_head_is_a_5xx_at_once(connect: Connect, upstream: ScriptedUpstream) -> None:
    upstream.script = raw(OK, *([b"X: y\r\n" * 1000] * 1000), then_close=False)
    assert (await ask(connect, post(CHAT, PLAIN_BODY))).status == 502
