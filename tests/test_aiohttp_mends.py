"""Each fault of aiohttp that is mended, shown with its own client: when one is gone, its mend can go."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk

STILL_WAITING_SECONDS = 0.3


async def test_broken_framing_still_wakes_no_reader(upstream: ScriptedUpstream) -> None:
    """WakingResponseHandler can go when this fails."""
    has_it = asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"1"))
        await has_it.wait()
        writer.write(b"zz\r\nrubbish\r\n")
        await reader.read()

    upstream.script = script
    async with aiohttp.ClientSession() as client, client.get(upstream.base_url) as response:
        assert await response.content.readany() == b"1"
        has_it.set()
        reading = asyncio.create_task(response.content.readany())
        done, _ = await asyncio.wait([reading], timeout=STILL_WAITING_SECONDS)
        assert not done
        reading.cancel()


async def test_idle_connection_still_answers_with_what_nobody_asked_for(upstream: ScriptedUpstream) -> None:
    """FreshConnector can go when this fails, and the next test too."""
    has_it, poisoned = asyncio.Event(), asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(b"right")(request, reader, writer)
        await has_it.wait()
        await answer(b"wrong")(request, reader, writer)
        poisoned.set()

    upstream.script = script
    async with aiohttp.ClientSession() as client:
        async with client.get(upstream.base_url) as response:
            assert await response.read() == b"right"
        has_it.set()
        await poisoned.wait()
        for _ in range(3):  # turns of the loop, each of which takes in what has arrived
            await asyncio.sleep(0)
        async with client.get(upstream.base_url) as response:
            assert await response.read() == b"wrong"


async def test_closed_idle_connection_is_still_reused(upstream: ScriptedUpstream) -> None:
    """FreshConnector can go when this fails, and the test above too: aiohttp doesn't ask the kernel."""
    closed = asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer()(request, reader, writer)
        # At once, and without the loop learning of it before the next request is written.
        writer.get_extra_info("socket").shutdown(1)
        closed.set()

    upstream.script = script
    failures = 0
    async with aiohttp.ClientSession() as client:
        for _ in range(50):
            try:
                async with client.post(upstream.base_url, data=b"x") as response:
                    await response.read()
            except aiohttp.ClientConnectionError:
                failures += 1
    assert failures
