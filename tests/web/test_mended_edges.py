"""Answers that break, stall or arrive in pieces while they are looked at."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from lmgateway.boxes.http.response import UpstreamResponse
from lmgateway.web.transfer import PIECE_BYTES
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, chunk
from tests.web.test_mended_answers import (
    CHAT,
    DONE,
    ERROR_EVENTS,
    REACHED,
    TOKEN,
    N,
    studio_error,
    with_context,
)

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
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """However little of it comes with the head."""
    waits, read = asyncio.Event(), UpstreamResponse.read

    async def reading(response: UpstreamResponse) -> bytes:
        waits.set()
        return await read(response)

    monkeypatch.setattr(UpstreamResponse, "read", reading)
    body = json.dumps({"error": REACHED}).encode()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ERROR_HEAD.replace(b"400 Bad", b"500 Bad").replace(b"100", b"%d" % len(body)))
        writer.write(body[:cut])
        await waits.wait()  # for more than came with the head
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


async def received_until_broken(gateway: Gateway, has_it: asyncio.Semaphore, **more: object) -> bytes:
    """Return what was sent before the connection was broken off; `has_it` is released for each piece."""
    received = bytearray()
    async with gateway.client.post(gateway.url(CHAT), json=ASKS_STREAM | more) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                received += piece
                has_it.release()
    return bytes(received)


def in_pieces(has_it: asyncio.Semaphore, *pieces: bytes) -> Script:
    """Send each piece of a stream when the client has the one before, the last with the stream's end."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for piece in pieces[:-1]:
            writer.write(chunk(piece))
            await has_it.acquire()
        writer.write(chunk(pieces[-1]) + b"0\r\n\r\n")

    return script


async def test_nothing_follows_an_overflow_in_a_long_last_piece(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A long piece is relayed in parts; the part behind the error isn't."""
    error = studio_error(REACHED)
    comment = b": %s\n\n" % (b"x" * (PIECE_BYTES - len(error) - 4))
    has_it = asyncio.Semaphore(0)
    upstream.script = in_pieces(has_it, TOKEN, comment + error + DONE)
    gateway = await start_gateway(upstream.base_url)
    assert await received_until_broken(gateway, has_it) == TOKEN + comment + OVERFLOWED


async def test_the_error_event_begins_a_line_of_its_own(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Also behind a last event without its empty line, whose beginning was relayed already."""
    error = studio_error(REACHED).replace(b"event: ", b"event:").rstrip()
    has_it = asyncio.Semaphore(0)
    upstream.script = in_pieces(has_it, TOKEN, error[:20], error[20:])
    gateway = await start_gateway(upstream.base_url)
    # Of a stream whose usage the client requested, the beginning of an event is relayed at once.
    received = await received_until_broken(gateway, has_it, stream_options={"include_usage": True})
    assert received.startswith(TOKEN + error[:20])
    assert received.endswith(b"\n\n" + OVERFLOWED)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_empty_plain_answer_whose_head_is_out_stays_as_it_is(
    start_gateway: StartGateway, upstream: ScriptedUpstream, is_chunked: bool
) -> None:
    """It has no event to report an error by, and clients repeat what was broken off."""
    usage = {"prompt_tokens": N, "completion_tokens": 0}
    body = json.dumps({"choices": [{"message": {"content": ""}}], "usage": usage}).encode()
    has_head = asyncio.Event()
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\n\r\n" % framing)
        await has_head.wait()  # the head is relayed at once
        writer.write(chunk(body) + b"0\r\n\r\n" if is_chunked else body)

    upstream.script = with_context(script, N)
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.post(gateway.url(CHAT), json={"model": "m", "messages": []}) as response:
        has_head.set()
        assert (response.status, await response.read()) == (200, body)
    async with gateway.client.get(gateway.url("/debug/status")) as response:
        assert (await response.json())["totalErrors"] == 0
