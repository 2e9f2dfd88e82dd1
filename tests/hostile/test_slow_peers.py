"""Promises about slow peers, with time limits of 250 ms."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY
from tests.hostile.wire import GET, HEALTH, WITHOUT_KEY, outcome, request
from tests.support.clock import Clock
from tests.support.gateway import Gateway
from tests.support.raw_client import RawClient, raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, answer_after, chunk, reset

QUICK = dict.fromkeys(("head_ms", "idle_ms", "body_pause_ms", "body_ms", "send_stall_ms"), 250)
# Far more than these limits, far less than the default ones.
SOON = 3


@pytest.fixture
async def hasty(
    request: pytest.FixtureRequest, start_gateway: StartGateway, upstream: ScriptedUpstream
) -> Gateway:
    """A gateway with short time limits. A test's parameter overrides some of them."""
    seconds = {"sweep_seconds": 0.02, "linger_seconds": 0.1}
    limits = QUICK | getattr(request, "param", {})
    return await start_gateway(upstream.base_url, seconds, auth={"api_key": KEY}, limits=limits)


@asynccontextmanager
async def dripping(client: RawClient, piece: bytes) -> AsyncIterator[None]:
    """Meanwhile send this again and again, in pauses shorter than any limit."""

    async def drip() -> None:
        while piece:
            await client.send(piece)
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(drip())
    yield
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)  # the connection may be gone by then


async def test_a_connection_that_never_sends_a_byte_is_closed(hasty: Gateway) -> None:
    async with raw_client(hasty.port) as client:
        assert await asyncio.wait_for(client.reader.read(), SOON) == b""


async def test_a_head_that_drips_is_cut_off_by_its_total_time(hasty: Gateway) -> None:
    async with raw_client(hasty.port) as client:
        await client.send(b"GET /health HTTP/1.1\r\n")
        async with dripping(client, b"A: b\r\n"):
            answered = await outcome(client)
    assert answered.startswith(b"HTTP/1.1 408 ")


async def test_a_later_head_that_drips_is_cut_off_too(hasty: Gateway) -> None:
    async with raw_client(hasty.port) as client:
        await client.send(HEALTH)
        assert b" 200 " in await client.head()
        await client.send(b"GET /health HT")
        assert b"HTTP/1.1 408 " in await asyncio.wait_for(client.reader.read(), SOON)


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/files", b"/admin/models/load"])
@pytest.mark.parametrize(
    ("rest", "hasty"),
    [(b"", {"body_ms": 0}), (b"2", {"body_pause_ms": 0})],
    ids=["nothing", "dripping"],
    indirect=["hasty"],
)
async def test_a_body_that_stops_coming_is_answered_and_closed(
    hasty: Gateway, path: bytes, rest: bytes
) -> None:
    async with raw_client(hasty.port) as client:
        lines = (b"Content-Type: application/json", b"Content-Length: 1000")
        await client.send(request(b"POST " + path, *lines, body=b"{"))
        async with dripping(client, rest):
            answered = await outcome(client)
    assert answered.startswith(b"HTTP/1.1 408 ")


async def test_a_dripping_body_without_key_is_answered_and_closed(
    hasty: Gateway, upstream: ScriptedUpstream
) -> None:
    async with raw_client(hasty.port) as client:
        await client.send(request(b"POST /v1/files", b"Content-Length: 1000", fields=WITHOUT_KEY))
        async with dripping(client, b"x"):
            answered = await outcome(client)
    assert answered.startswith(b"HTTP/1.1 401 ")
    assert not upstream.received


async def test_an_idle_connection_is_closed(hasty: Gateway) -> None:
    async with raw_client(hasty.port) as client:
        await client.send(HEALTH)
        await client.head()
        rest = await asyncio.wait_for(client.reader.read(), SOON)
    assert rest.endswith(b"}")


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/event-stream"])
async def test_a_client_that_never_reads_is_cut_off_and_its_upstream_freed(
    hasty: Gateway, upstream: ScriptedUpstream, kind: str
) -> None:
    upstream.script = answer(b"x" * 16 * 1024**2, content_type=kind)
    async with raw_client(hasty.port) as client:
        client.writer.transport.pause_reading()
        await client.send(request(b"GET /v1/files"))
        await asyncio.wait_for(upstream.gone.get(), SOON + 2)


async def test_a_client_that_reads_no_response_of_the_gateways_own_is_cut_off(hasty: Gateway) -> None:
    """Even if the response is written as a whole."""
    requests = request(b"GET /dashboard/static/vendor/uPlot.iife.min.js") * 10
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", hasty.port)) as client:
        client.setblocking(False)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(SOON + 2):
                while True:
                    await loop.sock_sendall(client, requests)


async def test_a_client_that_reads_slowly_is_not_cut_off(hasty: Gateway, upstream: ScriptedUpstream) -> None:
    body = b"x" * 24 * 1024**2
    upstream.script = answer(body, content_type="application/octet-stream")
    async with raw_client(hasty.port) as client:
        await client.send(request(b"GET /v1/files"))
        await client.head()
        received = 0
        while received < len(body):
            received += len(await client.reader.readexactly(1024**2))
            await asyncio.sleep(0.04)  # in all four times send_stall_ms
    assert received == len(body)


async def long_after(clock: Clock) -> None:
    """Let four times idle_ms pass, in many sweeps."""
    for _ in range(40):
        await clock.pass_seconds(QUICK["idle_ms"] / 1000 / 10)


async def test_prompt_processing_before_the_first_byte_is_no_timeout(
    hasty: Gateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, has_thought = Clock(monkeypatch), asyncio.Event()

    async def think(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await has_thought.wait()
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n") + b"0\r\n\r\n")

    upstream.script = think
    async with raw_client(hasty.port) as client:
        await client.send(request(b"GET /v1/slow"))
        await asyncio.wait_for(upstream.arrivals.get(), SOON)
        await long_after(clock)
        has_thought.set()
        assert b" 200 " in await client.head()


async def test_a_stream_that_is_silent_between_two_events_goes_on(
    hasty: Gateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, goes_on = Clock(monkeypatch), asyncio.Event()

    async def pause(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await goes_on.wait()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    upstream.script = pause
    async with raw_client(hasty.port) as client:
        await client.send(request(b"GET /v1/slow"))
        await client.reader.readuntil(b"data: 1")
        await long_after(clock)
        goes_on.set()
        assert b"data: 2" in await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), SOON)


async def hang(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read nothing and answer nothing, until the peer leaves."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("hasty", [{"body_ms": 0, "body_pause_ms": 0}], indirect=True)
async def test_a_reset_is_noticed_while_an_upload_is_not_read(
    hasty: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.script, upstream.reads_body = hang, False
    async with raw_client(hasty.port) as client:
        await client.send(request(b"POST /v1/files", b"Content-Length: 100000000"))
        with pytest.raises(TimeoutError):  # until the buffers are full
            while True:
                client.writer.write(b"x" * 65536)
                await asyncio.wait_for(client.writer.drain(), 0.3)
        reset(client.writer)
        await asyncio.wait_for(hasty_is_idle(hasty), SOON)


async def test_a_client_that_leaves_with_many_requests_unread_is_noticed(
    hasty: Gateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """And is logged as no error."""
    upstream.script = hang
    async with raw_client(hasty.port) as client:
        await client.send(GET * 100)
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        client.hang_up()
        await asyncio.wait_for(hasty_is_idle(hasty), SOON)
    assert len(upstream.received) == 1
    assert not [one for one in caplog.records if one.levelno > logging.INFO and one.name != "asyncio"]


async def hasty_is_idle(gateway: Gateway) -> None:
    """Wait until /debug/requests shows no running request."""
    while True:
        async with gateway.client.get(gateway.url("/debug/requests"), headers={"X-API-Key": KEY}) as response:
            if not (await response.json())["running"]:
                return
        await asyncio.sleep(0.02)


async def test_one_address_has_a_limit_of_connections_and_another_is_served(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(
        upstream.base_url, auth={"api_key": KEY}, limits={"connections_per_address": 2}
    )
    request = HEALTH
    async with raw_client(gateway.port) as first, raw_client(gateway.port) as second:
        for client in (first, second):
            await client.send(request)
            assert b" 200 " in await client.head()
        async with raw_client(gateway.port) as third:
            assert b" 429 " in await third.head()
            await third.rest()
        async with raw_client(gateway.port, source="127.0.0.2") as neighbour:
            await neighbour.send(request)
            assert b" 200 " in await neighbour.head()
        first.hang_up()
        await asyncio.sleep(0)
    async with raw_client(gateway.port) as again:
        await again.send(request)
        assert b" 200 " in await again.head()


async def test_requests_beyond_the_limit_get_503_with_retry_after(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, limits={"requests": 1})
    proceed = asyncio.Event()

    upstream.script = answer_after(proceed)
    request = GET
    async with raw_client(gateway.port) as first, raw_client(gateway.port) as second:
        await first.send(request)
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        await second.send(request)
        refused = await second.head()
        assert b" 503 " in refused
        assert b"Retry-After: " in refused
        proceed.set()
        assert b" 200 " in await first.head()
    async with gateway.client.get(gateway.url("/v1/models"), headers={"X-API-Key": KEY}) as response:
        assert response.status == 200
