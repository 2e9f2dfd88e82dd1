"""Each bug of aiohttp that is worked around, with aiohttp alone: once it is fixed, the workaround can go."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.test_utils import TestServer
from yarl import URL

from lmgateway.aiohttp_private.connector import FreshConnector
from lmgateway.aiohttp_private.urls import exact_url
from lmgateway.boxes.http.pool import IDLE_SECONDS
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, reset

STILL_WAITING_SECONDS = 0.3


async def test_broken_framing_still_wakes_no_reader(upstream: ScriptedUpstream) -> None:
    """UpstreamProtocol can go when this fails."""
    has_it = asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"1"))
        await has_it.wait()
        writer.write(b"zz\r\nrubbish\r\n")
        await reader.read()

    upstream.script = script
    async with aiohttp.ClientSession() as client, client.get(upstream.base_url) as response:
        assert await response.content.readany() == b"1"
        has_it.set()
        reading = asyncio.create_task(response.content.readany())
        done, _ = await asyncio.wait([reading], timeout=STILL_WAITING_SECONDS)
        assert not done
        reading.cancel()


async def test_broken_request_framing_still_wakes_no_reader() -> None:
    """ServerProtocol can go when this fails."""
    began, reading = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        assert await request.content.readany() == b"half"
        began.set()
        await request.content.readany()
        reading.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handler)
    async with TestServer(app) as server, raw_client(server.port or 0) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await began.wait()
        await client.send(b"zz\r\nrubbish\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reading.wait(), STILL_WAITING_SECONDS)


async def test_pool_looks_at_every_idle_connection(upstream: ScriptedUpstream) -> None:
    """FreshConnector reuses none with unread data, also behind one that is too old."""
    connector = FreshConnector(keepalive_timeout=IDLE_SECONDS)
    both = asyncio.Barrier(2)

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(upstream.received) <= 2:
            await both.wait()
        await answer(b"right")(request, reader, writer)

    upstream.script = script
    async with aiohttp.ClientSession(connector=connector) as client:

        async def ask() -> bytes:
            async with client.get(upstream.base_url) as response:
                return await response.read()

        await asyncio.gather(ask(), ask())
        (idle,) = connector._conns.values()
        (oldest, released), (newest, _) = idle
        idle[0] = (oldest, released - 2 * IDLE_SECONDS)
        newest.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        assert await ask() == b"right"
    assert upstream.connections == 3


async def test_pool_polls_the_kernel(upstream: ScriptedUpstream) -> None:
    """A connection closed by its peer isn't reused, even before the event loop notices."""
    peers: list[asyncio.StreamWriter] = []

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        await answer()(request, reader, writer)

    upstream.script = script
    async with aiohttp.ClientSession(connector=FreshConnector()) as client:
        for _ in range(20):
            async with client.post(upstream.base_url, data=b"x") as response:
                await response.read()
            peers[-1].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    assert len(upstream.received) == 20


async def test_idle_connection_still_answers_with_unrequested_bytes(upstream: ScriptedUpstream) -> None:
    """FreshConnector can go when this fails, and the next test too."""
    has_it, poisoned = asyncio.Event(), asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(b"right")(request, reader, writer)
        await has_it.wait()
        await answer(b"wrong")(request, reader, writer)
        poisoned.set()

    upstream.script = script
    async with aiohttp.ClientSession() as client:
        async with client.get(upstream.base_url) as response:
            assert await response.read() == b"right"
        has_it.set()
        await poisoned.wait()
        for _ in range(3):  # turns of the loop, which read what has arrived
            await asyncio.sleep(0)
        async with client.get(upstream.base_url) as response:
            assert await response.read() == b"wrong"


async def test_closed_idle_connection_is_still_reused(upstream: ScriptedUpstream) -> None:
    """FreshConnector can go when this fails, and the test above too: aiohttp doesn't poll the kernel."""
    closed = asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer()(request, reader, writer)
        # So late that the loop doesn't notice before the next request is written.
        writer.get_extra_info("socket").shutdown(1)
        closed.set()

    upstream.script = script
    failures = 0
    async with aiohttp.ClientSession() as client:
        for _ in range(50):
            try:
                async with client.post(upstream.base_url, data=b"x") as response:
                    await response.read()
            except aiohttp.ClientConnectionError:
                failures += 1
    assert failures


def test_empty_query_is_still_dropped() -> None:
    """exact_url can go when a URL keeps its "?"."""
    assert URL("http://h/p?", encoded=True).raw_path_qs == "/p"
    assert exact_url("http://h", "/p?").raw_path_qs == "/p?"
    assert exact_url("http://h", "/p?a=&a").raw_path_qs == "/p?a=&a"


async def test_reset_is_still_taken_for_the_end_of_a_body(upstream: ScriptedUpstream) -> None:
    """UpstreamProtocol.connection_lost can go when this fails."""
    has_it = asyncio.Event()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await has_it.wait()
        reset(writer)

    upstream.script = script
    for connector, is_noticed in ((aiohttp.TCPConnector(), False), (FreshConnector(), True)):
        has_it.clear()
        async with aiohttp.ClientSession(connector=connector) as client, client.get(upstream.base_url) as got:
            assert await got.content.readany() == b"half"
            has_it.set()
            if is_noticed:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await got.content.readany()
            else:
                assert await got.content.readany() == b""


async def test_reader_woken_by_a_chunks_end_still_misses_the_broken_framing_after_it(
    upstream: ScriptedUpstream,
) -> None:
    """The second half of fail_reader can go when this fails."""
    has_it = asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"1\r\n1")
        await has_it.wait()
        writer.write(b"\r\nzz\r\n")
        await reader.read()

    upstream.script = script
    for connector, is_noticed in ((aiohttp.TCPConnector(), False), (FreshConnector(), True)):
        has_it.clear()
        async with aiohttp.ClientSession(connector=connector) as client, client.get(upstream.base_url) as got:
            assert await got.content.readany() == b"1"
            has_it.set()
            expected = aiohttp.ClientPayloadError if is_noticed else TimeoutError
            with pytest.raises(expected):
                await asyncio.wait_for(got.content.readany(), STILL_WAITING_SECONDS)


async def test_every_piece_read_still_runs_the_parser_on_empty_input(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResumesOnceProtocol can go when the first half of this fails."""
    looks, data_received = [], ResponseHandler.data_received

    def counted(protocol: ResponseHandler, data: bytes) -> None:
        if not data:
            looks.append(protocol)
        data_received(protocol, data)

    monkeypatch.setattr(ResponseHandler, "data_received", counted)
    upstream.script = answer(b"right")

    async def ask(connector: aiohttp.BaseConnector | None = None) -> None:
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(upstream.base_url) as response,
        ):
            assert await response.read() == b"right"

    await ask()
    assert looks
    looks.clear()
    await ask(FreshConnector())
    assert not looks
