"""Promises about bodies that are larger than the memory they may use. RFC 9110 section 15.5.14."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.hostile.gateway_process import GatewayProcess, running_process
from tests.hostile.wire import CHAT, request
from tests.support.raw_client import Answer, RawClient, raw_client
from tests.support.requests import CHUNKED
from tests.support.upstream import Received, ScriptedUpstream, answer, chunk

MIB = 1024**2
MAX_BODY_BYTES = 16 * MIB
LIMIT = f"proxy.max_body_bytes={MAX_BODY_BYTES}"


@pytest.mark.long
async def test_memory_does_not_follow_a_128_mib_upload(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    size, arrived = 128 * MIB, 0

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while arrived < size:
            arrived += len(await reader.read(MIB))
        await answer()(request, reader, writer)

    upstream.script, upstream.reads_body = script, False
    async with (
        running_process(tmp_path, upstream.base_url, LIMIT) as served,
        raw_client(served.port) as client,
    ):
        path = b"/v1/audio/transcriptions"
        await client.send(request(b"POST " + path, b"Content-Length: %d" % size))
        for _ in range(size // MIB):
            await client.send(bytes(MIB))
            served.measure()
        assert (await client.answer()).status == 200
        served.measure()
    assert arrived == size
    assert served.peak < 32 * MIB


@pytest.mark.parametrize("path", [CHAT, b"/admin/models/load"])
async def test_an_endless_chunked_json_body_is_refused_with_bounded_memory(
    tmp_path: Path, upstream: ScriptedUpstream, path: bytes
) -> None:
    sent = 0

    async def send_on(client: RawClient, served: GatewayProcess) -> None:
        nonlocal sent
        await client.send(
            request(b"POST " + path, CHUNKED, b"Content-Type: application/json") + chunk(b'{"endless":"')
        )
        while True:
            await client.send(chunk(b"x" * MIB))
            sent += MIB
            served.measure()
            # Let the response be read: while the gateway discards the rest, send() never has to wait.
            await asyncio.sleep(0)

    async with (
        running_process(tmp_path, upstream.base_url, LIMIT) as served,
        raw_client(served.port) as client,
    ):
        sending = asyncio.create_task(send_on(client, served))
        answered: Answer = await client.answer()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert (answered.status, answered.one("Connection")) == (413, "close")
    assert sent < 4 * MAX_BODY_BYTES
    assert served.peak < 4 * MAX_BODY_BYTES
    assert not upstream.received
