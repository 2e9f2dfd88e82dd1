"""Requests on /debug: running ones, ended ones, and each kind of end."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from lmgateway.web.state import ACTIVITY
from tests.debug.conftest import LLM
from tests.support.home import Home
from tests.support.raw_client import raw_client
from tests.support.requests import post
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw, silent

CHAT = "/v1/chat/completions"
STREAM = {"model": "m", "stream": True}


async def next_event(events: asyncio.Queue[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    return await asyncio.wait_for(events.get(), 5)


async def test_request_has_a_beginning_and_an_end(home: Home) -> None:
    """Every proxied request, GET /v1/models too, is one inference_start and one inference_complete."""
    messages = [{"role": "user", "content": "hi"}]
    async with home.events() as events:
        for method, path, body in (
            ("GET", "/v1/models", None),
            ("POST", CHAT, {"messages": messages, "stream": True}),
            ("POST", CHAT, {"messages": messages, "response_format": {"type": "xml"}}),
        ):
            headers = {"X-Request-Id": "mine"}
            async with home.gateway.client.request(
                method, home.gateway.url(path), json=body, headers=headers
            ) as got:
                await got.read()
            name, start = await next_event(events)
            assert name == "inference_start"
            assert start.keys() == {
                *("timestamp", "requestId", "method", "path", "model", "client", "key", "box"),
            }
            assert (start["requestId"], start["method"], start["path"]) == ("mine", method, path)
            assert start["client"] == "127.0.0.1"
            name, end = await next_event(events)
            assert name == "inference_complete"
            assert end.keys() == {
                *("timestamp", "requestId", "key", "totalTimeMs", "tokenUsage", "status"),
                *("ttftMs", "tokensPerSecond", "stream", "box", "queuedMs", "gpuMs"),
            }
            assert start["box"] == end["box"] == "lmstudio"
            assert (end["requestId"], end["status"]) == ("mine", got.status)
            if body and body.get("stream"):
                assert start["model"] == LLM
                assert end["stream"] is True
                assert end["tokenUsage"]["totalTokens"] > 0
                assert end["ttftMs"] >= 0


async def held(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'))
    await reader.read()


async def test_running_request_is_shown_and_can_be_cancelled(
    scripted: Home, upstream: ScriptedUpstream
) -> None:
    """An admin sees a running request and can cancel it: LM Studio stops, the client gets an error."""
    upstream.script = held
    gateway = scripted.gateway
    async with scripted.events() as events:
        headers = {"X-Request-Id": "long"}
        async with gateway.client.post(gateway.url(CHAT), json=STREAM, headers=headers) as response:
            await response.content.readany()
            _, status = await scripted.get("/debug/status")
            assert status["status"] == "processing_inference"
            operation = status["currentOperation"]
            assert operation.keys() == {"type", "modelKey", "progress", "startedAt", "elapsedMs"}
            assert (operation["type"], operation["modelKey"]) == ("inference", "m")
            assert status["recentRequests"][-1]["status"] == "pending"
            _, requests = await scripted.get("/debug/requests")
            (running,) = requests["running"]
            assert (running["requestId"], running["phase"], running["tokens"]) == ("long", "generating", 1)
            assert (running["model"], running["client"], running["stream"]) == ("m", "127.0.0.1", True)
            async with gateway.client.delete(gateway.url("/debug/requests/long")) as cancelled:
                assert await cancelled.json() == {"status": "cancelled", "requestId": "long"}
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await asyncio.wait_for(upstream.gone.get(), 5)
        assert [(await next_event(events))[0] for _ in range(2)] == ["inference_start", "error"]
    async with gateway.client.delete(gateway.url("/debug/requests/long")) as cancelled:
        assert cancelled.status == 404
    _, status = await scripted.get("/debug/status")
    assert (status["status"], status["currentOperation"]) == ("idle", None)
    assert (status["totalRequests"], status["totalErrors"]) == (1, 1)


async def test_cancelled_before_its_answer_is_a_400(scripted: Home, upstream: ScriptedUpstream) -> None:
    """Client libraries don't retry a 400."""
    upstream.script = silent
    url, headers = scripted.gateway.url(CHAT), {"X-Request-Id": "x"}
    asking = asyncio.create_task(scripted.gateway.client.post(url, json={}, headers=headers))
    await asyncio.wait_for(upstream.arrivals.get(), 5)
    async with scripted.gateway.client.delete(scripted.gateway.url("/debug/requests/x")) as cancelled:
        assert cancelled.status == 200
    async with await asyncio.wait_for(asking, 5) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "request_cancelled"


@pytest.mark.parametrize(
    ("script", "outcome", "errors", "event"),
    [
        (answer(), "completed", 0, "inference_complete"),
        (answer(status="404 Not Found"), "completed", 0, "inference_complete"),
        (answer(status="500 Oops"), "failed", 1, "inference_complete"),
        (raw(b""), "failed", 1, "error"),
        (raw(STREAM_HEAD + chunk(b"data: 1\n\n")), "failed", 1, "error"),
    ],
    ids=["200", "404", "500", "no answer", "broken stream"],
)
async def test_each_end_is_counted_once(
    scripted: Home, upstream: ScriptedUpstream, script: Any, outcome: str, errors: int, event: str
) -> None:
    """Completed or failed, each request is one event and one count."""
    upstream.script = script
    async with scripted.events() as events:
        async with scripted.gateway.client.post(scripted.gateway.url(CHAT), json=STREAM) as response:
            try:
                await response.read()
            except aiohttp.ClientPayloadError:
                assert event == "error"
        assert [(await next_event(events))[0] for _ in range(2)] == ["inference_start", event]
        assert events.empty()
    _, requests = await scripted.get("/debug/requests")
    assert [request["outcome"] for request in requests["recent"]] == [outcome]
    _, metrics = await scripted.get("/debug/metrics")
    assert (metrics["performance"]["totalRequests"], metrics["performance"]["totalErrors"]) == (1, errors)
    assert metrics["performance"]["errorRate"] == errors * 100.0


async def test_history_holds_no_body(
    scripted: Home, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed request stays in the history without its body, and without frames that reference it."""
    upstream.script = raw(b"")
    caplog.set_level("ERROR")  # or pytest would hold them

    async def body() -> AsyncIterator[bytes]:
        yield b'{"messages":"'
        for _ in range(10):
            yield b"x" * 500_000
        yield b'"}'

    tracemalloc.start()
    try:
        async with scripted.gateway.client.post(scripted.gateway.url(CHAT), data=body()) as response:
            assert response.status == 502
        _, requests = await scripted.get("/debug/requests")
        upstream.received.clear()
        assert len(upstream.arrivals.get_nowait().body) > 5_000_000
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert requests["recent"][0]["error"]
    assert held < 4_000_000


async def test_a_fault_of_the_gateway_ends_the_exchange_too(
    scripted: Home, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the gateway is one event and one count, and nothing stays in flight."""

    def broken(_headers: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("lmgateway.web.relay.response_fields", broken)
    async with scripted.events() as events:
        async with scripted.gateway.client.post(scripted.gateway.url(CHAT), json=STREAM) as response:
            assert response.status == 500
        assert [(await next_event(events))[0] for _ in range(2)] == ["inference_start", "error"]
    _, status = await scripted.get("/debug/status")
    assert (status["status"], status["totalRequests"], status["totalErrors"]) == ("idle", 1, 1)
    async with scripted.gateway.client.get(scripted.gateway.url("/metrics")) as response:
        assert "lmgateway_in_flight 0.0" in await response.text()


async def test_client_that_left_is_no_error(scripted: Home, upstream: ScriptedUpstream) -> None:
    """It is failed, but isn't counted as the gateway's or LM Studio's error."""
    upstream.script = held
    async with scripted.events() as events:
        async with raw_client(scripted.gateway.port) as client:
            await client.send(post(CHAT.encode(), json.dumps(STREAM).encode()))
            await client.head()
            client.hang_up()
        assert [(await next_event(events))[0] for _ in range(2)] == ["inference_start", "error"]
    _, status = await scripted.get("/debug/status")
    assert (status["totalRequests"], status["totalErrors"]) == (1, 0)
    assert status["recentRequests"][0]["status"] == "failed"


async def test_prompt_progress_is_the_waiting_requests(scripted: Home, upstream: ScriptedUpstream) -> None:
    """LM Studio's log doesn't name the request: progress is shown for one that waits alone, not for two."""
    upstream.script = silent
    activity, url = scripted.gateway.app[ACTIVITY], scripted.gateway.url(CHAT)
    seen = []
    asking = []
    for fraction in (0.25, 0.5):
        asking.append(asyncio.create_task(scripted.gateway.client.post(url, json=STREAM)))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        activity.prompt_progressed("lmstudio", fraction)
        _, requests = await scripted.get("/debug/requests")
        seen.append([(running["phase"], running["promptProgress"]) for running in requests["running"]])
    assert seen == [[("prompt", 0.25)], [("prompt", 0.25), ("waiting", None)]]
    assert (await scripted.get("/debug/status"))[1]["currentOperation"]["progress"] == 0.25
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
