"""Whether LM Studio is reachable, in /health/ready and /metrics."""

from __future__ import annotations

import asyncio
import re

import pytest

from lmgateway.boxes.box import PROBE_SECONDS
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.gateway import Gateway
from tests.support.reloading import reload
from tests.support.upstream import Received, ScriptedUpstream, raw, silent

NOWHERE = "http://127.0.0.1:9"


async def reachable(gateway: Gateway) -> str | None:
    async with gateway.client.get(gateway.url("/metrics")) as response:
        found = re.search(r"^lmgateway_upstream_reachable (.+)$", await response.text(), re.MULTILINE)
    return found and found[1]


async def status(gateway: Gateway, path: str, data: bytes | None = None) -> int:
    async with gateway.client.request("POST" if data else "GET", gateway.url(path), data=data) as response:
        return response.status


async def test_the_metric_is_the_last_requests_outcome(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url)
    assert await reachable(gateway) is None
    assert (await status(gateway, "/health/ready"), await reachable(gateway)) == (200, "1.0")
    upstream.script = raw(b"")
    assert (await status(gateway, "/v1/models"), await reachable(gateway)) == (502, "0.0")


async def test_a_request_that_lm_studio_never_received_doesnt_change_the_metric(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(NOWHERE, proxy={"max_body_bytes": 10})
    assert await status(gateway, "/v1/models") == 503
    assert await status(gateway, "/v1/chat/completions", b"x" * 11) == 413
    assert await reachable(gateway) == "0.0"


async def test_the_log_has_the_address_and_the_reason_once(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says what to check; the address is for the operator, once per outage."""
    caplog.set_level("INFO", "lmgateway.boxes.health")
    gateway = await start_gateway(upstream.base_url)
    await status(gateway, "/v1/models")
    working, upstream.script = upstream.script, raw(b"")
    for _ in range(2):
        await status(gateway, "/v1/models")
    upstream.script = working
    await status(gateway, "/v1/models")
    lines = [record.getMessage() for record in caplog.records if record.name == "lmgateway.boxes.health"]
    assert lines == [
        f"LM Studio doesn't answer at {upstream.base_url}: Server disconnected",
        f"LM Studio answers again at {upstream.base_url}",
    ]


async def test_an_upload_that_cannot_connect_changes_the_metric(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Unlike one that breaks off, which the client may have caused."""
    gateway = await start_gateway(upstream.base_url)
    assert (await status(gateway, "/health/ready"), await reachable(gateway)) == (200, "1.0")
    upstream.script = raw(b"")
    assert (await status(gateway, "/v1/files", b"x"), await reachable(gateway)) == (502, "1.0")
    assert not caplog.records
    reload(gateway, lmstudio={"base_url": NOWHERE})
    assert (await status(gateway, "/v1/files", b"x"), await reachable(gateway)) == (503, "0.0")
    assert f"LM Studio doesn't answer at {NOWHERE}: Cannot connect" in caplog.text


async def test_a_time_out_is_in_the_access_log_only(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """It doesn't mean that LM Studio is unreachable."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 50})
    working, upstream.script = upstream.script, silent
    assert await status(gateway, "/v1/models") == 504
    upstream.script = working
    assert await status(gateway, "/v1/models") == 200
    assert not [record for record in caplog.records if record.name == "lmgateway.boxes.health"]


async def test_a_probe_has_a_time_out(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time-out is for the whole probe: interim responses don't extend it."""
    gateway, clock = await start_gateway(upstream.base_url), Clock(monkeypatch)

    async def drips(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await clock.pass_seconds(PROBE_SECONDS / 20)

    upstream.script = drips
    assert await status(gateway, "/health/ready") == 503
    await upstream.gone.get()
    assert await reachable(gateway) == "0.0"
