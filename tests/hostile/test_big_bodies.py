"""Promises about bodies that are larger than the memory they may take. RFC 9110 section 15.5.14."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.hostile.conftest import KEY
from tests.hostile.wire import CHAT, CHUNKED, request
from tests.support.process import lmgateway
from tests.support.raw_client import Answer, RawClient, raw_client
from tests.support.upstream import Received, ScriptedUpstream, answer, chunk

MIB = 1024**2
MAX_BODY_BYTES = 16 * MIB


@dataclass
class Measured:
    """A gateway in a process of its own. `peak` is the most that it had, beyond what it began with."""

    port: int
    process: psutil.Process
    before: int
    peak: int = 0

    def measure(self) -> None:
        self.peak = max(self.peak, self.process.memory_info().rss - self.before)


@asynccontextmanager
async def measured_gateway(cwd: Path, base_url: str) -> AsyncIterator[Measured]:
    async with lmgateway(
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        cwd=cwd,
        LMSTUDIO_BASE_URL=base_url,
        GATEWAY_API_KEY=KEY,
        MAX_BODY_BYTES=str(MAX_BODY_BYTES),
    ) as gateway:
        port = await gateway.port()
        process = psutil.Process(gateway.pid)
        yield Measured(port, process, process.memory_info().rss)


@pytest.mark.long
async def test_memory_does_not_follow_a_128_mib_upload(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    size, arrived = 128 * MIB, 0

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while arrived < size:
            arrived += len(await reader.read(MIB))
        await answer()(request, reader, writer)

    upstream.script, upstream.reads_body = script, False
    async with measured_gateway(tmp_path, upstream.base_url) as gateway, raw_client(gateway.port) as client:
        path = b"/v1/audio/transcriptions"
        await client.send(request(b"POST " + path, b"Content-Length: %d" % size))
        for _ in range(size // MIB):
            await client.send(bytes(MIB))
            gateway.measure()
        assert (await client.answer()).status == 200
        gateway.measure()
    assert arrived == size
    assert gateway.peak < 32 * MIB


@pytest.mark.parametrize("path", [CHAT, b"/admin/models/load"])
async def test_an_endless_chunked_json_body_is_refused_with_bounded_memory(
    tmp_path: Path, upstream: ScriptedUpstream, path: bytes
) -> None:
    sent = 0

    async def go_on(client: RawClient, gateway: Measured) -> None:
        nonlocal sent
        await client.send(
            request(b"POST " + path, CHUNKED, b"Content-Type: application/json") + chunk(b'{"endless":"')
        )
        while True:
            await client.send(chunk(b"x" * MIB))
            sent += MIB
            gateway.measure()

    async with measured_gateway(tmp_path, upstream.base_url) as gateway, raw_client(gateway.port) as client:
        sending = asyncio.create_task(go_on(client, gateway))
        answered: Answer = await client.answer()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert (answered.status, answered.one("Connection")) == (413, "close")
    assert sent < 4 * MAX_BODY_BYTES
    assert gateway.peak < 4 * MAX_BODY_BYTES
    assert not upstream.received
