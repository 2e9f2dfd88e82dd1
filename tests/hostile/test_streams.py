"""Promises about responses and streams to a client that reads them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median

import aiohttp
import pytest

from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import CHAT, GET, json_post, request
from tests.support.gateway import Gateway
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw

AUTHORIZED = {"X-API-Key": KEY}
END = b"0\r\n\r\n"


REQUESTS = {
    "asked for by GET": GET,
    "not asked for": json_post(CHAT, b'{"messages":[]}'),
    "asked for": json_post(CHAT, b'{"stream":true,"stream_options":{"include_usage":true}}'),
    "asked for and counted": json_post(CHAT, b'{"stream":true}'),
    "no JSON": json_post(CHAT, b"\xff{"),
}
EVENTS = {
    "comments": [b": hello\n\n", b":\n", b"data: 1\n\n: x\n\n"],
    "CRLF": [b"data: 1\r\n\r\n", b"data: 2\r\n\r", b"\ndata: 3\r\n\r\n"],
    "lone CR": [b"data: 1\r\rdata: 2\r\r"],
    "data over several lines": [b"event: x\nid: 1\ndata: a\ndata: b\n", b"data:\n\nretry: 9\n\n"],
    "UTF-8 cut across chunks": [b"data: \xf0\x9f", b"\x98", b"\x80\n\n", b"data: \xff\xfe\n\n"],
    "byte order mark, no event": [b"\xef\xbb\xbf", b"\n\n\n\n\n"],
    "last event cut off": [b'data: {"choices":[]}\n\ndata: {"us', b"age"],
}


@pytest.mark.parametrize("asked", ["asked for by GET", "asked for", "asked for and counted"])
@pytest.mark.parametrize("pieces", EVENTS.values(), ids=EVENTS)
async def test_event_stream_arrives_byte_for_byte_as_one(
    connect: Connect, upstream: ScriptedUpstream, asked: str, pieces: list[bytes]
) -> None:
    upstream.script = raw(STREAM_HEAD, *map(chunk, pieces), END, then_close=False)
    async with connect() as client:
        await client.send(REQUESTS[asked])
        answered = await client.answer()
    assert (answered.one("Content-Type"), answered.one("Content-Length")) == ("text/event-stream", None)
    assert answered.body == b"".join(pieces)


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
async def test_stream_that_becomes_shorter_comes_without_its_length(
    connect: Connect, upstream: ScriptedUpstream, content_type: str
) -> None:
    """The usage chunk, which the gateway requested, is taken out, so the announced length is too large."""
    event, extra = b'data: {"choices":[{}]}\n\n', b'data: {"choices":[],"usage":{}}\n\n'
    upstream.script = answer(event + extra, content_type=content_type)
    async with connect() as client:
        await client.send(REQUESTS["asked for and counted"])
        answered = await client.answer()
    assert (answered.one("Content-Length"), answered.body) == (None, event)


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS)
async def test_each_event_is_delivered_when_it_happens_even_on_a_stream_that_was_not_requested(
    connect: Connect, upstream: ScriptedUpstream, request_bytes: bytes
) -> None:
    """The next event is sent only when the client has the last, so one that is held back never arrives."""
    has_it, sent = asyncio.Semaphore(0), 0.0

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(STREAM_HEAD)
        for number in range(10):
            await has_it.acquire()
            sent = time.monotonic()
            writer.write(chunk(b"data: %d\n\n" % number))
        writer.write(END)

    upstream.script = script
    async with connect() as client:
        await client.send(request_bytes)
        # The head of a generation's stream is relayed with the first event.
        has_it.release()
        await client.head()
        delays = []
        for number in range(10):
            if number:
                has_it.release()
            await asyncio.wait_for(client.reader.readuntil(b"data: %d\n\n" % number), 5)
            delays.append(time.monotonic() - sent)
    assert median(delays) < 0.06


@pytest.mark.parametrize("request_bytes", [GET, json_post(CHAT, b"{}")], ids=["GET", "POST"])
@pytest.mark.parametrize(
    ("framing", "wrap", "end"),
    [
        (b"Transfer-Encoding: chunked", chunk, END),
        (b"Content-Length: 80", bytes, b""),
        (b"Connection: close", bytes, b""),
    ],
    ids=["chunked", "with a length", "until the end"],
)
async def test_plain_response_is_relayed_as_it_arrives(
    connect: Connect,
    upstream: ScriptedUpstream,
    request_bytes: bytes,
    framing: bytes,
    wrap: Callable[[bytes], bytes],
    end: bytes,
) -> None:
    has_it = asyncio.Semaphore(0)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\n\r\n" % framing)
        for number in range(10):
            await has_it.acquire()
            writer.write(wrap(b'{"n":%d} ' % number))
        writer.write(end)
        if b"close" in framing:
            writer.close()

    upstream.script = script
    async with connect() as client:
        await client.send(request_bytes)
        await client.head()
        for number in range(10):
            has_it.release()
            await asyncio.wait_for(client.reader.readuntil(b'{"n":%d}' % number), 5)


async def test_json_string_of_64_mib_arrives_intact(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    body = b'{"usage":{},"x":"%s"}' % (b"0123456789abcdef" * (4 * 1024**2))
    upstream.script = answer(body)
    received, length = hashlib.sha256(), 0
    async with gateway.client.post(gateway.url(CHAT.decode()), data=b"{}", headers=AUTHORIZED) as response:
        async for data in response.content.iter_any():
            received.update(data)
            length += len(data)
    assert length == len(body)
    assert received.digest() == hashlib.sha256(body).digest()


async def test_100_parallel_clients_get_their_own_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Every second one is a stream; all run at the same time, and their events alternate."""
    everybody = asyncio.Barrier(100)

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await everybody.wait()
        mine = request.body.split(b'"id":"')[1].split(b'"')[0]
        if b'"stream":true' not in request.body:
            return await answer(b'{"id":"%s"}' % mine * 1000)(request, reader, writer)
        writer.write(STREAM_HEAD)
        for _ in range(10):
            writer.write(chunk(b"data: %s\n\n" % mine * 100))
            await asyncio.sleep(0)
        writer.write(END)
        return None

    async def ask(client: aiohttp.ClientSession, number: int) -> None:
        streams = number % 2 == 0
        mine = b"%d-%s" % (number, b"x" * number)
        body = b'{"id":"%s","stream":%s}' % (mine, b"true" if streams else b"false")
        async with client.post(gateway.url(CHAT.decode()), data=body, headers=AUTHORIZED) as response:
            expected = b"data: %s\n\n" % mine * 1000 if streams else b'{"id":"%s"}' % mine * 1000
            assert await response.read() == expected

    upstream.script = script
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        await asyncio.wait_for(asyncio.gather(*(ask(client, number) for number in range(100))), 20)


@pytest.mark.parametrize("path", ["/health", "/debug/status", "/v1/models"])
async def test_100_hanging_requests_block_no_other_one(
    connect: Connect, upstream: ScriptedUpstream, path: str
) -> None:
    """The gateway's own responses are immediate, and other requests are proxied."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.target == "/v1/models":
            await answer()(request, reader, writer)
        else:
            await reader.read()

    upstream.script = script
    async with AsyncExitStack() as stack:
        for _ in range(100):
            hanging = await stack.enter_async_context(connect())
            await hanging.send(json_post(CHAT, b"{}"))
        for _ in range(100):
            await asyncio.wait_for(upstream.arrivals.get(), 5)
        client = await stack.enter_async_context(connect())
        began = time.monotonic()
        await client.send(request(b"GET " + path.encode()))
        assert b" 200 " in await client.head()
        assert time.monotonic() - began < 1
