"""Answers that break, stall or arrive in pieces while they are looked at."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.conftest import StartGateway
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, chunk
from tests.web.test_mended_answers import CHAT, DONE, ERROR_EVENTS, N, REACHED, TOKEN, studio_error

ASKS_STREAM = {"model": "m", "messages": [], "stream": True}
ERROR_HEAD = b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
OVERFLOWED = ERROR_EVENTS[CHAT] % (
    b"This model's maximum context length is %d tokens." % N,
    b"context_length_exceeded",
)


def then_silent(start: bytes) -> Script:
    """Send this, and nothing more until the peer leaves."""

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await reader.read()

    return script


@pytest.mark.parametrize("start", [STREAM_HEAD, ERROR_HEAD, ERROR_HEAD + b'{"err'])
async def test_silence_behind_lm_studios_head_is_504(
    start_gateway: StartGateway, upstream: ScriptedUpstream, start: bytes
) -> None:
    """The client has no head yet, so it is as silence before LM Studio's; its library doesn't retry it."""
    gateway = await start_gateway(upstream.base_url, proxy={"stream_timeout_ms": 100})
    upstream.script = then_silent(start)
    async with gateway.client.post(gateway.url(CHAT), json=ASKS_STREAM) as response:
        assert response.status == 504
        assert response.headers["x-should-retry"] == "false"
    await asyncio.wait_for(upstream.gone.get(), 5)


@pytest.mark.parametrize("cut", [0, 1, 5, 40])
async def test_an_error_that_arrives_in_pieces_is_read_to_its_end(
    start_gateway: StartGateway, upstream: ScriptedUpstream, cut: int
) -> None:
    """However little of it comes with the head."""
    body = json.dumps({"error": REACHED}).encode()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ERROR_HEAD.replace(b"400 Bad", b"500 Bad").replace(b"100", b"%d" % len(body)))
        writer.write(body[:cut])
        await writer.drain()
        await asyncio.sleep(0.05)  # the gateway sees the first piece alone
        writer.write(body[cut:])

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.post(gateway.url(CHAT), json={"model": "m", "messages": []}) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "context_length_exceeded"


async def test_another_document_of_the_same_length_is_no_missing_endpoint(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """LM Studio's error is JSON; of a HEAD request's answer the length says nothing without the type."""
    length = len('{"error":"Unexpected endpoint or method. (HEAD /v1/page)"}')
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n"

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.head(gateway.url("/v1/page")) as response:
        assert response.status == 200
