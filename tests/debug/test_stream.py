"""Subscribers of /debug/stream: fast ones, slow ones, and ones that reconnect."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from pathlib import Path

import pytest

from lmgateway.observe.event_stream import HISTORY_EVENTS, QUEUE_EVENTS
from lmgateway.observe.events import ModelUnloadStart
from lmgateway.web.debug import KEEP_ALIVE_SECONDS, SEND_SECONDS
from lmgateway.web.state import EVENTS
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.gateway import Gateway
from tests.support.process import serving
from tests.support.raw_client import RawClient, raw_client
from tests.support.requests import request
from tests.support.upstream import ScriptedUpstream


def publish(gateway: Gateway, number: int) -> None:
    gateway.app[EVENTS].publish(ModelUnloadStart(model_key="x" * 500, instance_id=str(number)))


async def subscribe(client: RawClient, query: str = "", *headers: bytes) -> bytes:
    await client.send(request(f"GET /debug/stream{query}".encode(), *headers))
    return await client.head()


async def test_a_subscriber_that_never_reads_affects_no_other(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """5,000 events: one that reads gets all; one that doesn't gets the number of lost ones when it reads."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as stuck, gateway.client.get(gateway.url("/debug/stream")) as reader:
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.send(request(b"GET /debug/stream"))
        while gateway.app[EVENTS].subscribers < 2:
            await asyncio.sleep(0)
        received = bytearray()

        async def read() -> None:
            while received.count(b"event: model_unload_start") < 5000:
                received.extend(await reader.content.readany())

        reading = asyncio.create_task(read())
        for number in range(5000):
            publish(gateway, number)
            if number % 100 == 0:
                began = time.monotonic()
                async with gateway.client.get(gateway.url("/health")) as response:
                    assert response.status == 200
                assert time.monotonic() - began < 1
        await asyncio.wait_for(reading, 20)
        assert re.findall(rb'"instanceId":"(\d+)"', received) == [b"%d" % number for number in range(5000)]
        assert b"event: lagged" not in received

        stuck.writer.transport.resume_reading()  # type: ignore[attr-defined]
        late = bytearray()
        while b'"instanceId":"4999"' not in late:
            late.extend(await asyncio.wait_for(stuck.reader.read(65536), 5))
    missed = sum(int(number) for number in re.findall(rb'"missed":(\d+)', late))
    assert missed >= 5000 - QUEUE_EVENTS - 4000
    assert missed + late.count(b"event: model_unload_start") == 5000


async def test_a_reconnection_continues_after_the_last_event(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Last-Event-ID and a filter together: the missed events of the selected types."""
    gateway = await start_gateway(upstream.base_url)
    for number in range(3):
        publish(gateway, number)
    first, second, _ = (event.number for event in gateway.app[EVENTS].history)
    for query, last, seen in (
        ("", first, [b"1", b"2"]),
        ("", "1", [b"0", b"1", b"2"]),
        ("?types=model_unload_start,error", second, [b"2"]),
        ("?types=error,%20model_unload_start", second, [b"2"]),
        ("?types=error&types=model_unload_start", second, [b"2"]),
        ("?types=error", first, []),
        ("", "nonsense", []),
        ("", "9" * 5000, []),
    ):
        async with raw_client(gateway.port) as client:
            await subscribe(client, query, f"Last-Event-ID: {last}".encode())
            received = b""
            while received.count(b"event: ") < 1 + len(seen):
                received += await asyncio.wait_for(client.reader.read(65536), 5)
        assert re.findall(rb'"instanceId":"(\d+)"', received) == seen


async def test_a_late_reconnection_gets_the_number_of_lost_events_at_once(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Not only with the next event of the selected type, which may never happen."""
    gateway = await start_gateway(upstream.base_url)
    for number in range(HISTORY_EVENTS + 100):
        publish(gateway, number)
    headers = {"Last-Event-ID": str(gateway.app[EVENTS].history[0].number - 51)}
    url = gateway.url("/debug/stream?types=error")
    async with gateway.client.get(url, headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        told = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
    assert b"event: lagged" in told
    assert b'"missed":50' in told


async def test_an_unknown_type_is_a_400(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """With the nearest name, or all of them."""
    gateway = await start_gateway(upstream.base_url)
    url = gateway.url("/debug/stream?types=error,inference_strat,xyzzy")
    async with gateway.client.get(url) as response:
        assert response.status == 400
        misspelt, strange = (await response.json())["details"]
    assert misspelt == {"path": "types", "message": "Unknown event; did you mean inference_start?"}
    assert strange["message"].startswith("Unknown event; there are connected, lagged, model_load_start, ")


async def test_silence_is_broken_by_a_comment(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in front sees that the stream is alive."""
    gateway, clock = await start_gateway(upstream.base_url), Clock(monkeypatch)
    async with gateway.client.get(gateway.url("/debug/stream")) as response:
        await response.content.readuntil(b"\n\n")
        await clock.pass_seconds(KEEP_ALIVE_SECONDS)
        assert (await response.content.readuntil(b"\n\n")).startswith(b":")


async def test_stalled_reader_is_cut_off(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A subscriber that reads nothing for SEND_SECONDS is disconnected, with one access line."""
    caplog.set_level(logging.INFO, "lmgateway")
    gateway, clock = await start_gateway(upstream.base_url), Clock(monkeypatch)
    async with raw_client(gateway.port) as stuck:
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.send(request(b"GET /debug/stream"))
        while not gateway.app[EVENTS].subscribers:
            await asyncio.sleep(0)
        while gateway.app[EVENTS].subscribers:
            for number in range(100):
                publish(gateway, number)
            await clock.pass_seconds(SEND_SECONDS / 100)
    assert caplog.text.count("GET /debug/stream") == 1
    assert "Traceback" not in caplog.text


async def test_open_stream_doesnt_delay_the_end(tmp_path: Path) -> None:
    """SIGTERM ends the process at once although there is a subscriber."""
    async with serving(tmp_path) as (gateway, port):
        async with raw_client(port) as client:
            await subscribe(client)
            began = time.monotonic()
            gateway.send(signal.SIGTERM)
            status, _ = await gateway.ends()
        assert status == 0
        assert time.monotonic() - began < 3
