"""Whether LM Studio answers, as /health/ready and /metrics tell it."""

from __future__ import annotations

import asyncio
import re

import pytest
from yarl import URL

from lmgateway.config import LMStudio
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import Received, ScriptedUpstream, raw

NOWHERE = "http://127.0.0.1:9"


async def reachable(gateway: Gateway) -> str | None:
    async with gateway.client.get(gateway.url("/metrics")) as response:
        found = re.search(r"^lmgateway_upstream_reachable (.+)$", await response.text(), re.MULTILINE)
    return found and found[1]


async def status(gateway: Gateway, path: str, data: bytes | None = None) -> int:
    async with gateway.client.request("POST" if data else "GET", gateway.url(path), data=data) as response:
        return response.status


async def test_what_is_told_is_what_was_seen_last(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url)
    assert await reachable(gateway) is None
    assert (await status(gateway, "/health/ready"), await reachable(gateway)) == (200, "1.0")
    upstream.script = raw(b"")
    assert (await status(gateway, "/v1/models"), await reachable(gateway)) == (502, "0.0")


async def test_a_request_that_lm_studio_never_saw_tells_nothing_of_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(NOWHERE, proxy={"max_body_bytes": 10})
    assert await status(gateway, "/v1/models") == 503
    assert await status(gateway, "/v1/chat/completions", b"x" * 11) == 413
    assert await reachable(gateway) == "0.0"


async def test_the_log_has_the_address_and_the_reason_once(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A client is told what to check; which address it was is for the operator, not once a request."""
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


async def test_an_upload_that_meets_nobody_is_as_telling(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Unlike one that breaks off, which may be its client's doing."""
    gateway = await start_gateway(upstream.base_url)
    assert (await status(gateway, "/health/ready"), await reachable(gateway)) == (200, "1.0")
    upstream.script = raw(b"")
    assert (await status(gateway, "/v1/files", b"x"), await reachable(gateway)) == (502, "1.0")
    assert not caplog.records
    await gateway.app[FLEET].reconfigure(LMStudio(base_url=URL(NOWHERE)))
    assert (await status(gateway, "/v1/files", b"x"), await reachable(gateway)) == (503, "0.0")
    assert f"LM Studio doesn't answer at {NOWHERE}: Cannot connect" in caplog.text


async def test_a_slow_answer_is_in_the_access_log_alone(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """One is slow and the next one isn't: nobody was missed."""

    async def silent(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 50})
    working, upstream.script = upstream.script, silent
    assert await status(gateway, "/v1/models") == 504
    upstream.script = working
    assert await status(gateway, "/v1/models") == 200
    assert not [record for record in caplog.records if record.name == "lmgateway.boxes.health"]


async def test_a_probe_doesnt_wait_for_long(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks has a limit of its own, and a byte now and then mustn't lift this one."""
    monkeypatch.setattr("lmgateway.boxes.box.PROBE_SECONDS", 0.2)

    async def drips(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.01)

    upstream.script = drips
    gateway = await start_gateway(upstream.base_url)
    assert await asyncio.wait_for(status(gateway, "/health/ready"), 5) == 503
    await asyncio.wait_for(upstream.gone.get(), 5)
    assert await reachable(gateway) == "0.0"
