"""Promises about limits in total: memory for all bodies together, and the share of one address."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from lmgateway.web.state import ACTIVITY, EVENTS, HELD_BODIES
from tests.conftest import StartGateway
from tests.hostile.conftest import KEY
from tests.hostile.gateway_process import running_process
from tests.hostile.wire import CHAT, GET, json_post, request, sent_until_cut_off
from tests.support.gateway import Gateway
from tests.support.raw_client import Answer, RawClient, raw_client
from tests.support.requests import CHUNKED
from tests.support.upstream import (
    STREAM_HEAD,
    Received,
    ScriptedUpstream,
    answer,
    answer_after,
    chunk,
    silent,
)
from tests.support.waiting import until

MIB = 1024**2
NEIGHBOUR = "127.0.0.2"
LOAD = b"/admin/models/load"
JSON = b"Content-Type: application/json"


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """Bodies may take 1 MiB together."""
    return await start_gateway(upstream.base_url, auth={"api_key": KEY}, limits={"bodies_bytes": MIB})


def unfinished(path: bytes, announced: int, sent: bytes) -> bytes:
    return request(b"POST " + path, JSON, b"Content-Length: %d" % announced, body=sent)


@asynccontextmanager
async def holding(gateway: Gateway, sent: bytes, size: int, **where: str) -> AsyncIterator[RawClient]:
    """Send a request whose body isn't complete, and wait until the gateway holds so many bytes of it."""
    bodies = gateway.app[HELD_BODIES]
    before = bodies.used
    async with raw_client(gateway.port, **where) as client:
        client.writer.write(sent)
        await until(lambda: bodies.used == before + size)
        yield client
    await until(lambda: bodies.used == before)


async def ask(gateway: Gateway, sent: bytes, **where: str) -> Answer:
    async with raw_client(gateway.port, **where) as client:
        return await client.ask(sent)


def assert_refused(answered: Answer, *, closes: bool) -> None:
    assert answered.status == 503
    assert b'"overloaded"' in answered.body or b"limits.bodies_bytes" in answered.body
    assert answered.one("Retry-After") == "1"
    assert answered.one("Connection") == ("close" if closes else None)


@pytest.mark.parametrize("path", [CHAT, LOAD])
async def test_bodies_being_read_have_a_limit_together(
    gateway: Gateway, upstream: ScriptedUpstream, path: bytes
) -> None:
    """The next one gets 503 at once, before it has sent its body, and is served once there is room."""
    held = 600_000
    async with (
        holding(gateway, unfinished(path, MIB, b" " * held), held),
        raw_client(gateway.port) as client,
    ):
        await client.send(unfinished(CHAT, held, b""))
        assert_refused(await client.answer(), closes=True)
        assert await client.rest() == b""
    assert (await ask(gateway, json_post(CHAT, b" " * held))).status == 200


async def test_a_chunked_body_is_refused_as_it_arrives(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    held = 600_000
    async with (
        holding(gateway, unfinished(CHAT, MIB, b" " * held), held),
        raw_client(gateway.port) as client,
    ):
        client.writer.write(request(b"POST " + CHAT, JSON, CHUNKED) + chunk(b" " * held))
        assert_refused(await client.answer(), closes=True)
    assert not upstream.received


@pytest.mark.parametrize("path", [CHAT, LOAD])
async def test_the_decoded_size_counts(gateway: Gateway, path: bytes) -> None:
    held = 600_000
    bomb = gzip.compress(b" " * held)
    lines = (JSON, b"Content-Encoding: gzip", b"Content-Length: %d" % (len(bomb) + 1))
    async with holding(gateway, request(b"POST " + path, *lines, body=bomb), held):
        assert_refused(await ask(gateway, json_post(CHAT, b" " * held)), closes=True)


async def test_a_small_body_counts_too(gateway: Gateway) -> None:
    """Although all of it arrives together with its head. Its connection goes on."""
    held = MIB - 10
    async with (
        holding(gateway, unfinished(CHAT, MIB, b" " * held), held),
        raw_client(gateway.port) as client,
    ):
        assert_refused(await client.ask(json_post(CHAT, b" " * 20)), closes=False)
        assert (await client.ask(json_post(CHAT, b"{}"))).status == 200


async def test_an_announced_length_locks_no_client_out(gateway: Gateway) -> None:
    """Only bytes that have arrived count."""
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(holding(gateway, unfinished(CHAT, MIB - 100, b" "), 1))
        assert (await ask(gateway, json_post(CHAT, b" " * 900_000))).status == 200


async def test_a_body_counts_until_lm_studio_responds(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """While the request waits, its body may have to be sent again. It doesn't count during a stream."""
    proceed, held = asyncio.Event(), 600_000

    async def stream(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proceed.wait()
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await reader.read()

    upstream.script = stream
    async with holding(gateway, json_post(CHAT, b" " * held), held) as client:
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        assert_refused(await ask(gateway, json_post(CHAT, b" " * held)), closes=True)
        proceed.set()
        await client.reader.readuntil(b"data: 1")
        assert gateway.app[HELD_BODIES].used == 0
        upstream.script = answer()
        assert (await ask(gateway, json_post(CHAT, b" " * held))).status == 200


async def test_a_streamed_upload_does_not_count(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with holding(gateway, unfinished(CHAT, MIB, b" " * (MIB - 1)), MIB - 1):
        assert (await ask(gateway, json_post(b"/v1/files", b" " * 2 * MIB))).status == 200
    assert len(upstream.last.body) == 2 * MIB


async def test_one_address_cant_take_all_memory_for_bodies(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Half is left to the others."""
    gateway = await start_gateway(
        upstream.base_url,
        auth={"api_key": KEY},
        limits={"bodies_bytes": MIB},
        proxy={"max_body_bytes": 300_000},
    )
    held = 250_000
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(holding(gateway, unfinished(CHAT, held + 1, b" " * held), held))
        assert_refused(await ask(gateway, json_post(CHAT, b" " * held)), closes=True)
        assert (await ask(gateway, json_post(CHAT, b" " * held), source=NEIGHBOUR)).status == 200


async def test_unfinished_uploads_take_no_more_memory_than_allowed(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """25 bodies of 8 MiB, all but complete, of which 64 MiB may be held."""
    size, limit = 8 * MIB, 64 * MIB
    options = (f"limits.bodies_bytes={limit}", f"proxy.max_body_bytes={limit}")
    refused = 0

    async def send(client: RawClient) -> None:
        nonlocal refused
        client.writer.write(unfinished(CHAT, size + 1, b" " * size))
        with suppress(ConnectionError):  # it is still sending when its connection is closed
            assert (await client.answer()).status == 503
        refused += 1

    async with running_process(tmp_path, upstream.base_url, *options) as served, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw_client(served.port)) for _ in range(25)]
        sending = [asyncio.create_task(send(client)) for client in clients]

        def are_refused() -> bool:
            served.measure()
            return refused >= len(clients) - limit // size

        await until(are_refused)
        assert served.alive
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    assert refused < len(clients)
    assert served.peak < 2 * limit


async def test_few_pipelined_heads_are_held(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Behind a request that runs, only what one read has brought: aiohttp would hold 32 heads of any size."""
    proceed, number = asyncio.Event(), 100

    async def wait(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proceed.wait()
        await answer(request.target.encode())(request, reader, writer)

    upstream.script = wait
    filling = [b"X-%d: %s" % (each, b"v" * 1000) for each in range(28)]
    async with raw_client(gateway.port) as client:
        for each in range(number):
            client.writer.write(request(b"GET /v1/%d" % each, *filling))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        (connection,) = gateway.limits.connections
        await until(lambda: connection.is_reading_paused)
        assert connection.queued_requests < 16  # a read is 256 KiB
        proceed.set()
        bodies = [(await client.answer()).body for _ in range(number)]
    assert bodies == [b"/v1/%d" % each for each in range(number)]


@pytest.mark.parametrize("path", [CHAT, b"/v1/files", LOAD])
async def test_trailers_have_a_limit(gateway: Gateway, path: bytes) -> None:
    """aiohttp would hold 4 MiB of them for each connection, until limits.body_ms."""
    head = request(b"POST " + path, JSON, CHUNKED, body=chunk(b" ") + b"0\r\n")
    field = b"X: %s\r\n" % (b"v" * 30_000)
    async with raw_client(gateway.port) as client:
        assert await sent_until_cut_off(client, head, field, 4 * MIB) < 2 * MIB


async def test_one_address_cant_take_all_requests(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """By default it gets half of limits.requests, and the others are served."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, limits={"requests": 4})
    proceed = asyncio.Event()

    upstream.script = answer_after(proceed)
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(raw_client(gateway.port)) for _ in range(2)]
        for client in hanging:
            await client.send(GET)
            await asyncio.wait_for(upstream.arrivals.get(), 5)
        refused = await ask(gateway, GET)
        assert (refused.status, refused.one("Retry-After")) == (503, "1")
        assert b"limits.requests_per_address" in refused.body
        async with raw_client(gateway.port, source=NEIGHBOUR) as neighbour:
            await neighbour.send(GET)
            await asyncio.wait_for(upstream.arrivals.get(), 5)
            proceed.set()
            assert (await neighbour.answer()).status == 200
        for client in hanging:
            assert (await client.answer()).status == 200
    await until(lambda: not gateway.app[ACTIVITY].running)
    assert (await ask(gateway, GET)).status == 200


async def test_the_share_is_a_setting_and_a_proxys_clients_have_one_each(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(
        upstream.base_url,
        auth={"api_key": KEY},
        limits={"requests": 10, "requests_per_address": 1},
        network={"trusted_proxies": ["127.0.0.1"]},
    )

    def get(client: bytes) -> bytes:
        return request(b"GET /v1/models", b"X-Forwarded-For: " + client)

    upstream.script = silent
    async with AsyncExitStack() as stack:
        for address in (b"192.0.2.1", b"192.0.2.2"):
            client = await stack.enter_async_context(raw_client(gateway.port))
            await client.send(get(address))
            await asyncio.wait_for(upstream.arrivals.get(), 5)
        assert (await ask(gateway, get(b"192.0.2.1"))).status == 503


async def test_one_address_cant_take_all_event_streams(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, limits={"subscribers": 15})
    stream = request(b"GET /debug/stream")
    async with AsyncExitStack() as stack:
        for _ in range(12):
            client = await stack.enter_async_context(raw_client(gateway.port))
            await client.send(stream)
            assert (await client.answer_head()).status == 200
        assert (await ask(gateway, stream)).status == 503
        neighbour = await stack.enter_async_context(raw_client(gateway.port, source=NEIGHBOUR))
        await neighbour.send(stream)
        assert (await neighbour.answer_head()).status == 200
    await until(lambda: not gateway.app[EVENTS].subscribers)
    async with raw_client(gateway.port) as again:
        await again.send(stream)
        assert (await again.answer_head()).status == 200


async def test_probes_of_lm_studio_share_one_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """/health/ready needs no key, so concurrent calls must not multiply LM Studio's work."""
    proceed = asyncio.Event()

    upstream.script = answer_after(proceed)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw_client(gateway.port)) for _ in range(20)]
        for client in clients:
            await client.send(request(b"GET /health/ready"))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        clients.pop().hang_up()  # the others go on without it
        proceed.set()
        assert [(await client.answer()).status for client in clients] == [200] * len(clients)
    assert len(upstream.received) <= 2
