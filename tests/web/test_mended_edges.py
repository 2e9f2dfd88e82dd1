"""Answers that break, stall or arrive in pieces while they are looked at."""

from __future__ import annotations

import asyncio

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


@pytest.mark.parametrize("start", [STREAM_HEAD, ERROR_HEAD])
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
