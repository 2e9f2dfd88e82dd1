"""Promises about a connection whose running request is ended: it hits none that was sent behind it.

All requests of a connection run in one task, one after the other, so a late cancellation would.
"""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.hostile.wire import CHAT
from tests.support import requests
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, make_key, revoke_key
from tests.support.raw_client import RawClient, raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, silent

BODY = b'{"model": "m", "messages": []}'
STREAM = b'{"model": "m", "messages": [], "stream": true}'


def fields(key: str, request_id: str) -> bytes:
    return b"Host: gateway.local\r\nX-API-Key: %s\r\nX-Request-Id: %s\r\n" % (
        key.encode(),
        request_id.encode(),
    )


def chat(key: str, request_id: str, body: bytes = BODY) -> bytes:
    return requests.json_post(CHAT, body, fields=fields(key, request_id))


def own(key: str, request_id: str) -> bytes:
    return requests.request(b"GET /debug/status", fields=fields(key, request_id))


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """Its LM Studio answers no first request, and each later one."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (silent if len(upstream.posts) == 1 else answer())(request, reader, writer)

    upstream.script = script
    tables: dict[str, dict[str, object]] = {"auth": {"api_key": OWNER}, "models": {"m": {"slots": 1000}}}
    return await start_gateway(upstream.base_url, **tables)


async def answers(client: RawClient, *expected: tuple[str, int]) -> None:
    for request_id, status in expected:
        reply = await client.answer()
        assert (reply.one("X-Request-Id"), reply.status) == (request_id, status)


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelling_a_request_ends_only_that(
    gateway: Gateway, upstream: ScriptedUpstream, times: int
) -> None:
    """However often, and also if the cancellation arrives when the next one runs."""
    async with raw_client(gateway.port) as client:
        sent = [chat(OWNER, "first"), own(OWNER, "own"), chat(OWNER, "next"), own(OWNER, "last")]
        await client.send(b"".join(sent))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        (exchange,) = gateway.app[ACTIVITY].find("first")
        for _ in range(times):
            await call(gateway, "DELETE", "/debug/requests/first")
        await answers(client, ("first", 400), ("own", 200), ("next", 200), ("last", 200))
        assert exchange.cancellation.error is not None
        for count in range(20):
            await client.send(chat(OWNER, f"later{count}"))
            await answers(client, (f"later{count}", 200))


async def test_revoking_a_key_ends_only_its_own_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """A proxy's connection carries the requests of several keys."""
    anna = await make_key(gateway, "anna")
    async with raw_client(gateway.port) as client:
        sent = [chat(anna, "annas"), chat(OWNER, "mine"), chat(anna, "late"), own(OWNER, "last")]
        await client.send(b"".join(sent))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        await revoke_key(gateway, "anna")
        await answers(client, ("annas", 401), ("mine", 200), ("late", 401), ("last", 200))


async def test_a_cancelled_stream_whose_head_was_sent_ends_the_connection(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    """The next request isn't begun: its client couldn't tell where its response begins."""

    async def begun(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"9\r\ndata: 1\n\n\r\n")
        await silent(request, reader, writer)

    upstream.script = begun
    async with raw_client(gateway.port) as client:
        await client.send(chat(OWNER, "stream", STREAM) + chat(OWNER, "next"))
        await asyncio.wait_for(client.reader.readuntil(b"data: 1"), 5)
        await call(gateway, "DELETE", "/debug/requests/stream")
        assert b"HTTP/1.1" not in await client.rest()
        assert len(upstream.posts) == 1
