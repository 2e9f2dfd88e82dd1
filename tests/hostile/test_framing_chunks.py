"""Promises about chunked bodies. RFC 9112 sections 7.1 and 7.1.2, RFC 9110 section 6.5.1."""

from __future__ import annotations

import asyncio
import itertools
import logging

import psutil
import pytest

from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import (
    BODY_PATHS,
    HEALTH,
    WITHOUT_KEY,
    ask,
    assert_refused,
    reached,
    request,
    statuses,
)
from tests.support.requests import CHUNKED
from tests.support.upstream import Received, ScriptedUpstream, answer

SMUGGLED = request(b"GET /v1/smuggled")
END = b"\r\n0\r\n\r\n"
NO_SIZES = [
    b"g",
    b"0x5",
    b"+5",
    b"-5",
    b" 5",
    b"5 5",
    b"5_0",
    b"0_5",
    b"",
    b";a=b",
    b"5\n",
    b"5\r",
    "\N{FULLWIDTH DIGIT FIVE}".encode(),
    b"\x005",
    b"%x" % (2**64 + 5),
    b"F" * 17,
    b"F" * 1000,
]
WRONG_LENGTHS = [
    b"5\r\nabcdefg" + END,
    b"5\r\nabc" + END,
    b"5\r\nabcde0\r\n\r\n",
    b"5\r\nabcde\n0\r\n\r\n",
    b"5\r\nabcde\r0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\nabc\r\n\r\n",
]
HALF = b"4\r\nhalf\r\n"
# What arrives first, and the bytes after it that break the framing.
BREAKS = [
    (HALF, b"zz\r\nrubbish\r\n"),
    (HALF, b"-1\r\n\r\n"),
    (HALF, b"%x\r\n" % (2**64 + 5)),
    (HALF, b"4\r\nhalves\r\n"),
    (HALF, b"4\nhalf\r\n"),
    (HALF, b"0\r\nX A: b\r\n\r\n"),
    (HALF, b"0\r\nX-API-Key : %s\r\n\r\n" % KEY.encode()),
    (HALF + b"0\r\n", b"no trailer\r\n\r\n"),
    (b"4\r\nhalf", b"\r\nzz\r\nrubbish\r\n"),
    (b"4\r\nhalf\r", b"\n0\r\n\rx"),
]


async def test_chunk_sizes_that_are_no_hex_number_or_overflow_are_refused(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for size in NO_SIZES:
        for path in BODY_PATHS[:2]:
            body = size + b"\r\nabcde" + END + SMUGGLED
            await assert_refused(connect, request(b"POST " + path, CHUNKED, body=body))
    assert await reached(connect, upstream) == []


async def test_chunk_data_longer_or_shorter_than_its_size_is_refused(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for body in WRONG_LENGTHS:
        for path in BODY_PATHS[:2]:
            await assert_refused(connect, request(b"POST " + path, CHUNKED, body=body + SMUGGLED))
    assert await reached(connect, upstream) == []


async def test_a_malformed_chunk_while_the_body_is_read_is_refused_and_no_hang(
    connect: Connect, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """And is quoted neither in the response nor in the log: it may be a mistyped key."""
    lines = (b"Content-Type: application/json", b"Expect: 100-continue", CHUNKED)
    for path, (first, broken) in itertools.product(BODY_PATHS, BREAKS):
        async with connect() as client:
            await client.send(request(b"POST " + path, *lines))
            assert b" 100 " in await client.head()  # sent when the body is awaited
            await client.send(first)
            await ask(connect, HEALTH)  # the gateway has received the first part by then
            await client.send(broken + SMUGGLED)
            async with asyncio.timeout(3):
                answered = await client.rest()
            assert statuses(answered) in ([400], []), (path, broken)
            assert KEY.encode() not in answered
    assert await reached(connect, upstream) == []
    assert KEY not in caplog.text
    assert not [one for one in caplog.records if one.levelno > logging.INFO and one.name != "asyncio"]


async def raw_body(
    connect: Connect, upstream: ScriptedUpstream, pieces: list[bytes]
) -> tuple[int, Received, bytes]:
    """Send a request; return the status, what LM Studio received, and every byte after its head."""
    arrived = bytearray()

    async def script(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if received.one("Transfer-Encoding"):
            arrived.extend(await reader.readuntil(b"0\r\n\r\n"))
        else:
            arrived.extend(await reader.readexactly(int(received.one("Content-Length") or 0)))
        await answer()(received, reader, writer)

    upstream.script, upstream.reads_body = script, False
    async with connect() as client:
        for piece in pieces:
            await client.send(piece)
        status = (await client.answer()).status
    return status, upstream.last, bytes(arrived)


@pytest.mark.parametrize("path", BODY_PATHS[:2])
async def test_small_extensions_are_ignored_and_not_forwarded(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    for size in (b"7;x", b"7;x=y", b'7;x="1;2"', b"7;x=y;z"):
        sent = request(b"POST " + path, CHUNKED, body=size + b'\r\n{"a":1}\r\n0;x=y\r\n\r\n')
        status, _, arrived = await raw_body(connect, upstream, [sent])
        assert status == 200
        assert b'"a":1}' in arrived
        assert b";" not in arrived
        assert b"x" not in arrived.replace(b"max_tokens", b"")


@pytest.mark.parametrize("path", BODY_PATHS[:2])
async def test_an_8_mib_extension_is_refused_or_dropped_but_not_kept(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    piece = b"x" * 512 * 1024
    head, tail = request(b"POST " + path, CHUNKED, body=b"7;x="), b'\r\n{"a":1}\r\n0\r\n\r\n'
    before = memory_bytes()
    status, _, arrived = await raw_body(connect, upstream, [head, *[piece] * 16, tail])
    assert memory_bytes() - before < 6 * 1024**2
    assert status in {200, 400, 413}
    assert b"xxx" not in arrived


def memory_bytes() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("path", BODY_PATHS[:2])
async def test_request_trailers_do_not_become_headers(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    trailers = b"X-Evil: 1\r\nAuthorization: Bearer evil\r\nHost: evil.example\r\n"
    sent = request(
        b"POST " + path, CHUNKED, b"Trailer: X-Evil", body=b'7\r\n{"a":1}\r\n0\r\n' + trailers + b"\r\n"
    )
    status, received, arrived = await raw_body(connect, upstream, [sent])
    assert status == 200
    assert received.all("X-Evil") == received.all("Authorization") == []
    assert len(received.all("Host")) == 1
    assert b"vil" not in arrived
    with_key = b"0\r\nX-API-Key: %s\r\nAuthorization: Bearer %s\r\n\r\n" % (KEY.encode(), KEY.encode())
    sent = request(b"POST " + path, CHUNKED, body=with_key, fields=WITHOUT_KEY)
    assert (await ask(connect, sent)).status == 401
