"""Promises about clients that disconnect before their response is complete."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.hostile.wire import CHAT, GET, ask, json_post, request
from tests.support.raw_client import RawClient
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, chunk, raw, reset, silent

STREAM, PLAIN = json_post(CHAT, b'{"stream":true}'), json_post(CHAT, b'{"stream":false}')
TOKEN = chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
UPLOAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\n" + FIELDS
WAYS = ["closes", "resets"]


def leave(client: RawClient, way: str) -> None:
    if way == "resets":
        reset(client.writer)
    client.hang_up()


async def tokens(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send tokens until the peer leaves."""
    writer.write(STREAM_HEAD)
    while True:
        writer.write(TOKEN)
        await writer.drain()
        await asyncio.sleep(0.005)


def part(*pieces: bytes) -> Script:
    """Send a part of a response, and nothing more until the peer leaves."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw(*pieces, then_close=False)(request, reader, writer)
        await silent(request, reader, writer)

    return script


@pytest.mark.parametrize(
    ("request_bytes", "script", "awaits"),
    [
        pytest.param(STREAM, tokens, b"data: ", id="while tokens flow"),
        pytest.param(STREAM, part(STREAM_HEAD), b"", id="while a stream is silent from its head on"),
        pytest.param(STREAM, part(STREAM_HEAD, TOKEN), b"data: ", id="while a stream is silent"),
        pytest.param(STREAM, silent, b"", id="before a stream's head"),
        pytest.param(PLAIN, silent, b"", id="while a plain answer is computed"),
        pytest.param(
            PLAIN, part(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"), b"half", id="in a plain answer"
        ),
        pytest.param(GET, silent, b"", id="during a pending GET"),
        pytest.param(
            UPLOAD + b"Content-Length: 4\r\n\r\nfour", silent, b"", id="while an upload is worked on"
        ),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_client_that_leaves_aborts_the_request(
    connect: Connect,
    upstream: ScriptedUpstream,
    request_bytes: bytes,
    script: Script,
    awaits: bytes,
    way: str,
) -> None:
    upstream.script = script
    async with connect() as client:
        await client.send(request_bytes)
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        if awaits:
            await asyncio.wait_for(client.reader.readuntil(awaits), 5)
        leave(client, way)
        await asyncio.wait_for(upstream.gone.get(), 2)


@pytest.mark.parametrize("way", WAYS)
async def test_40_clients_that_leave_at_once_are_all_aborted_within_2_s(
    connect: Connect, upstream: ScriptedUpstream, way: str
) -> None:
    upstream.script = part(STREAM_HEAD, TOKEN)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect()) for _ in range(40)]
        for client in clients:
            await client.send(STREAM)
        for client in clients:
            await asyncio.wait_for(client.reader.readuntil(b"data: "), 5)
        for client in clients:
            leave(client, way)
        async with asyncio.timeout(2):
            for _ in clients:
                await upstream.gone.get()
        assert b'"running":[]' in await running(connect)


@pytest.mark.parametrize(
    ("framing", "completed"),
    [
        (b"Content-Length: 1000\r\n\r\nhalf", b"Content-Length"),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", b"0\r\n\r\n"),
    ],
    ids=["length", "chunks", "half a chunk"],
)
@pytest.mark.parametrize("way", WAYS)
async def test_client_that_leaves_in_mid_upload_takes_the_upstream_connection_with_it(
    connect: Connect, upstream: ScriptedUpstream, framing: bytes, completed: bytes, way: str
) -> None:
    half_is_there, received = asyncio.Event(), bytearray()

    async def script(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"half"))
        half_is_there.set()
        received.extend(await reader.read())

    upstream.script, upstream.reads_body = script, False
    async with connect() as client:
        await client.send(UPLOAD + framing)
        await asyncio.wait_for(half_is_there.wait(), 5)
        leave(client, way)
        await asyncio.wait_for(upstream.gone.get(), 2)
    assert completed not in received


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 1000\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("way", WAYS)
async def test_client_that_leaves_in_mid_json_sends_nothing_upstream(
    connect: Connect, upstream: ScriptedUpstream, framing: bytes, way: str
) -> None:
    """And the request has ended, as /debug/stream says."""
    async with connect() as watcher, connect() as client:
        await watcher.send(request(b"GET /debug/stream?types=error"))
        await watcher.head()
        await client.send(b"POST %s HTTP/1.1\r\n%s" % (CHAT, FIELDS) + framing)
        while b'"running":[]' in await running(connect):
            await asyncio.sleep(0)
        leave(client, way)
        await asyncio.wait_for(watcher.reader.readuntil(b"event: error\n"), 2)
    assert not upstream.received


async def running(connect: Connect) -> bytes:
    return (await ask(connect, request(b"GET /debug/requests"))).body
