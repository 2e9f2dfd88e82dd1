"""Relaying a response: without waking the request's task, with backpressure, in bounded memory."""

from __future__ import annotations

import asyncio
import random
import socket
import tracemalloc

import pytest

from lmgateway.boxes.http.response import UpstreamResponse
from lmgateway.web.transfer import Transfer
from tests.conftest import StartGateway
from tests.support.raw_client import BROKEN, raw_client
from tests.support.requests import post
from tests.support.turns import longest_turn
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk

ASK = post(b"/v1/chat/completions", b"{}")
END = b"0\r\n\r\n"
TOKENS = 20


def event(number: int) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number


async def test_task_sleeps_while_tokens_pass(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tokens arrive one by one, their request's task is woken for the last bytes only."""
    reads, read = [], UpstreamResponse.read
    has_it = asyncio.Queue[None]()

    async def counted(answer: UpstreamResponse) -> bytes:
        reads.append(answer)
        return await read(answer)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for number in range(TOKENS):
            writer.write(chunk(event(number)))
            await has_it.get()
        writer.write(END)

    monkeypatch.setattr(UpstreamResponse, "read", counted)
    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(ASK)
        pieces = []
        async with asyncio.timeout(5):
            async for piece in client.pieces(await client.answer_head()):
                pieces.append(piece)
                has_it.put_nowait(None)
    assert pieces == [event(number) for number in range(TOKENS)]
    assert len(reads) < 3


async def test_pausing_client_gets_every_byte_in_order(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """While a client pauses, LM Studio is paused; nothing is lost or repeated."""
    choose = random.Random(6)
    events = [event(number) * choose.choice((1, 1, 1, 40, 900)) for number in range(2_000)]
    written = 0

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(STREAM_HEAD)
        for each in events:
            writer.write(chunk(each))
            await writer.drain()
            written += len(each)
        writer.write(END)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        await client.send(ASK)
        received, pauses_at, most_ahead = bytearray(), 200_000, 0
        async with asyncio.timeout(20):
            async for piece in client.pieces(await client.answer_head()):
                received += piece
                if len(received) > pauses_at:
                    pauses_at += 4_000_000
                    before = -1
                    while written != before:  # until LM Studio can write no more
                        before = written
                        await asyncio.sleep(0.05)
                    most_ahead = max(most_ahead, written - len(received))
    assert bytes(received) == b"".join(events)
    assert 0 < most_ahead < len(received) / 2


async def test_failure_while_relaying_ends_both_sides(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of the gateway in mid-stream aborts the client's connection, is logged, and stops LM Studio."""
    metered = Transfer.metered

    def fails(transfer: Transfer, data: bytes) -> bytes:
        if b"no" in data:
            raise LookupError("a fault")
        return metered(transfer, data)

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(event(1)))
        await has_it.wait()
        writer.write(chunk(b"data: no\n\n"))
        await reader.read()

    has_it = asyncio.Event()
    monkeypatch.setattr(Transfer, "metered", fails)
    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(ASK)
        pieces = client.pieces(await client.answer_head())
        assert await anext(pieces) == event(1)
        has_it.set()
        with pytest.raises(BROKEN):
            await asyncio.wait_for(anext(pieces), 5)
    await asyncio.wait_for(upstream.gone.get(), 5)
    assert "LookupError: a fault" in caplog.text


async def test_body_is_freed_while_its_response_arrives(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Images in a prompt use no memory while the model generates."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request.body = b""
        writer.write(STREAM_HEAD + chunk(event(1)))
        await reader.read()

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    body = b'{"messages":[{"content":"%s"}]}' % (b"picture " * 1_000_000)
    tracemalloc.start()
    try:
        async with raw_client(gateway.port) as client:
            await client.send(post(b"/v1/chat/completions", body))
            assert await anext(client.pieces(await client.answer_head())) == event(1)
            held, most_held = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < len(body) < most_held


@pytest.mark.parametrize(
    ("content_type", "sent", "arrives"),
    [
        ("text/event-stream", "", ["no"]),
        ("text/event-stream; charset=utf-8", "X-Accel-Buffering: yes\r\n", ["no"]),
        ("application/json", "", []),
        ("application/json", "X-Accel-Buffering: yes\r\n", ["yes"]),
    ],
)
async def test_proxies_in_front_are_asked_not_to_buffer_events(
    start_gateway: StartGateway, upstream: ScriptedUpstream, content_type: str, sent: str, arrives: list[str]
) -> None:
    """nginx with proxy_pass alone would buffer a stream."""
    upstream.script = answer(b"", content_type=content_type, extra=sent)
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(ASK)
        assert (await client.answer_head()).all("X-Accel-Buffering") == arrives


SMALL_EVENTS = b"a\n\n" * 80_000
BURSTS = {
    "events of one byte": chunk(SMALL_EVENTS),
    "empty events": chunk(b"\n\n" * 120_000),
    "chunks of one byte": chunk(b"a") * 40_000,
}


@pytest.mark.parametrize("kind", BURSTS)
async def test_burst_doesnt_block_the_event_loop(
    start_gateway: StartGateway, upstream: ScriptedUpstream, kind: str
) -> None:
    """A quarter of a megabyte that LM Studio sends at once is relayed whole, with other work in between."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(event(1)))
        writer.write(BURSTS[kind] + chunk(event(2)) + END)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client, longest_turn() as longest:
        await client.send(ASK)
        answered = await client.answer()
    relayed = answered.body
    assert relayed.startswith(event(1))
    assert relayed.endswith(event(2))
    assert len(relayed) == len(event(1) + event(2)) + len(unchunked(BURSTS[kind]))
    assert longest.seconds < 0.03


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        data, body = data + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return data
