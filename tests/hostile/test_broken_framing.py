"""Promises that damaged requests led to: framing that breaks late, and what comes behind an Upgrade."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream

EVENT = b"9\r\ndata: 1\n\n"
# Where the first piece ends; what breaks the framing is in the second.
BREAKS = [
    pytest.param(EVENT + b"\r\n", b"zz\r\nrubbish\r\n", id="between chunks"),
    pytest.param(EVENT + b"\r\n0\r\n", b"no trailer\r\n\r\n", id="in the trailer"),
    pytest.param(EVENT, b"\r\nzz\r\nrubbish\r\n", id="after the end of a chunk"),
    pytest.param(EVENT + b"\r", b"\n0\r\n\rx", id="in the last line"),
]
PATIENCE_SECONDS = 1.5
UPGRADE = b"Connection: Upgrade\r\nUpgrade: %s\r\n"


@pytest.mark.parametrize(("first", "second"), BREAKS)
@pytest.mark.parametrize("path", [b"/v1/files", b"/v1/chat/completions"])
async def test_request_whose_framing_breaks_is_refused_and_held_up_by_nothing(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, first: bytes, second: bytes
) -> None:
    """Its handler has begun to read, and waits for more."""
    upstream.reads_body = False

    async def script(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.script = script
    async with connect() as client:
        await client.send(
            b"POST %s HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (path, FIELDS) + first
        )
        await begun(connect)
        await client.send(second)
        assert b" 400 " in await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)


async def begun(connect: Connect) -> None:
    """Wait until a request is being worked on."""
    async with connect() as client, asyncio.timeout(5):
        listing = b'"running":[]'
        while b'"running":[]' in listing:
            await client.send(b"GET /debug/requests HTTP/1.1\r\n" + FIELDS + b"\r\n")
            await client.head()
            listing = await client.reader.readuntil(b"]")


@pytest.mark.parametrize(("first", "second"), BREAKS)
async def test_answer_whose_framing_breaks_in_mid_stream_is_an_error_and_no_hang(
    connect: Connect, upstream: ScriptedUpstream, first: bytes, second: bytes
) -> None:
    has_it = asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + first)
        await has_it.wait()
        writer.write(second)
        await reader.read()

    upstream.script = script
    async with connect() as client:
        await client.send(b"GET /v1/models HTTP/1.1\r\n" + FIELDS + b"\r\n")
        await asyncio.wait_for(client.reader.readuntil(b"data: 1\n\n"), 5)
        has_it.set()
        assert b"0\r\n\r\n" not in await asyncio.wait_for(client.reader.read(), PATIENCE_SECONDS)


async def test_pipelined_request_behind_a_declined_upgrade_is_answered(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    request = b"GET /v1/models HTTP/1.1\r\n" + FIELDS
    async with connect() as client:
        await client.send(request + UPGRADE % b"websocket" + b"\r\n" + request + b"Connection: close\r\n\r\n")
        assert (await asyncio.wait_for(client.rest(), PATIENCE_SECONDS)).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("protocol", [b"h2c", b"foo/1"])
async def test_who_asks_for_an_unknown_protocol_waits_for_no_answer_behind_it(
    connect: Connect, upstream: ScriptedUpstream, protocol: bytes
) -> None:
    """The answer says that it is the connection's last one."""
    request = b"GET /v1/models HTTP/1.1\r\n" + FIELDS
    async with connect() as client:
        await client.send(request + UPGRADE % protocol + b"\r\n" + request + b"\r\n")
        answered = await asyncio.wait_for(client.rest(), PATIENCE_SECONDS)
    assert answered.count(b"HTTP/1.1 200 ") == 1
    assert b"Connection: close\r\n" in answered


async def test_a_body_with_an_unknown_upgrade_arrives_whole(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Java's HTTP client asks for h2c on its first request, whatever that is."""
    body = bytes(900_000)
    async with connect() as client:
        head = b"POST /v1/files HTTP/1.1\r\n" + FIELDS + UPGRADE % b"h2c"
        await client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert b" 200 " in await client.head()
    assert upstream.last.body == body
