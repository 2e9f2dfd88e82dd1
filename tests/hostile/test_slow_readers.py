"""Promises about clients that don't read: bounded memory, and backpressure to LM Studio."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.hostile.gateway_process import running_process
from tests.hostile.wire import CHAT, GET, json_post, request
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk

MIB = 1024**2
OFFERED = 192 * MIB
# The most that the buffers of two connections hold, mostly the kernel's.
BUFFERED = 48 * MIB
EVENT = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 65536)
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %%s\r\nContent-Length: %d\r\n\r\n" % OFFERED


@pytest.mark.parametrize(
    ("request_bytes", "head", "piece"),
    [
        pytest.param(json_post(CHAT, b'{"stream":true}'), STREAM_HEAD, chunk(EVENT), id="events"),
        pytest.param(json_post(CHAT, b"{}"), PLAIN_HEAD % b"application/json", b" " * 65536, id="JSON"),
        pytest.param(
            request(b"GET /v1/files/1"),
            PLAIN_HEAD % b"audio/wav",
            b" " * 65536,
            id="plain",
        ),
    ],
)
async def test_client_that_reads_nothing_throttles_lm_studio_and_costs_no_memory(
    tmp_path: Path, upstream: ScriptedUpstream, request_bytes: bytes, head: bytes, piece: bytes
) -> None:
    """Others are served meanwhile, and its disconnection aborts the request."""
    stuck, written = asyncio.Event(), 0

    async def script(request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        if request.target == "/v1/models":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return
        writer.write(head)
        while written < OFFERED:
            writer.write(piece)
            written += len(piece)
            if not stuck.is_set():
                try:
                    await asyncio.wait_for(writer.drain(), 0.5)
                except TimeoutError:
                    stuck.set()
            else:
                await writer.drain()
        stuck.set()

    upstream.script = script
    async with running_process(tmp_path, upstream.base_url) as served:
        async with raw_client(served.port) as other:
            await other.send(GET)
            await other.head()
            before = served.resident_bytes
            async with raw_client(served.port) as client:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await client.send(request_bytes)
                await asyncio.wait_for(stuck.wait(), 20)
                assert written < BUFFERED
                assert served.resident_bytes - before < 16 * MIB
                await other.reader.readexactly(2)
                await other.send(GET)
                assert b" 200 " in await other.head()
                client.hang_up()
                await asyncio.wait_for(upstream.gone.get(), 2)
        assert written < BUFFERED
