"""What /debug tells of requests: while they run, when they ended, and however they did."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.debug.conftest import LLM
from tests.support.home import Home
from tests.support.raw_client import raw_client
from tests.support.studio import Studio
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw

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
            ("POST", CHAT, {"model": "nobody", "messages": []}),
        ):
            headers = {"X-Request-Id": "mine"}
            async with home.gateway.client.request(
                method, home.gateway.url(path), json=body, headers=headers
            ) as got:
                await got.read()
            name, start = await next_event(events)
            assert name == "inference_start"
            assert start.keys() == {
                *("timestamp", "requestId", "method", "path", "model", "client", "key"),
            }
            assert (start["requestId"], start["method"], start["path"]) == ("mine", method, path)
            assert start["client"] == "127.0.0.1"
            name, end = await next_event(events)
            assert name == "inference_complete"
            assert end.keys() == {
                *("timestamp", "requestId", "key", "totalTimeMs", "tokenUsage", "status"),
                *("ttftMs", "tokensPerSecond", "stream"),
            }
            assert (end["requestId"], end["status"]) == ("mine", got.status)
            if body and body.get("stream"):
                assert start["model"] == LLM
                assert end["stream"] is True
                assert end["tokenUsage"]["totalTokens"] > 0
                assert end["ttftMs"] >= 0


async def held(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'))
    await reader.read()


@pytest.fixture
async def scripted(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Home:
    return Home(await start_gateway(upstream.base_url), Studio(None))  # type: ignore[arg-type]


async def test_running_request_is_shown_and_can_be_cancelled(
    scripted: Home, upstream: ScriptedUpstream
) -> None:
    """An admin sees what runs and how far it is, and ends it: LM Studio stops, the client sees an error."""
    upstream.script = held
    gateway = scripted.gateway
    async with scripted.events() as events:
        headers = {"X-Request-Id": "long"}
        async with gateway.client.post(gateway.url(CHAT), json=STREAM, headers=headers) as response:
            await response.content.readany()
            _, status = await scripted.get("/debug/status")
            assert status["status"] == "processing_inference"
            assert status["currentOperation"].keys() == {
                "type",
                "modelKey",
                "progress",
                "startedAt",
                "elapsedMs",
            }
            assert (status["currentOperation"]["type"], status["currentOperation"]["modelKey"]) == (
                "inference",
                "m",
            )
            assert status["recentRequests"][-1]["status"] == "pending"
            _, requests = await scripted.get("/debug/requests")
            (running,) = requests["running"]
            assert (running["requestId"], running["phase"], running["tokens"]) == ("long", "generating", 1)
            assert (running["model"], running["client"], running["stream"]) == ("m", "127.0.0.1", True)
            async with gateway.client.delete(gateway.url("/debug/requests/long")) as cancelled:
                assert (cancelled.status, await cancelled.json()) == (
                    200,
                    {"status": "cancelled", "requestId": "long"},
                )
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
    """Client libraries don't ask again after it."""

    async def silent(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

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
        (
            raw(STREAM_HEAD + chunk(b'event: error\ndata: {"error": {}}\n\n') + chunk(b"")),
            "failed",
            1,
            "error",
        ),
    ],
    ids=["200", "404", "500", "no answer", "broken stream", "error in a stream"],
)
async def test_each_end_is_counted_once(
    scripted: Home, upstream: ScriptedUpstream, script: Any, outcome: str, errors: int, event: str
) -> None:
    """Completed and failed are told apart, in one event and one count."""
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
    """A request that failed stays in the history, but not its body or the frames that held it."""
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


async def test_fault_of_ours_ends_the_exchange_too(
    scripted: Home, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, what began has ended: one event, one count, nothing left in flight."""

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
    """It is failed, without being the gateway's or LM Studio's fault."""
    upstream.script = held
    async with scripted.events() as events:
        async with raw_client(scripted.gateway.port) as client:
            body = json.dumps(STREAM).encode()
            await client.send(
                b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                % (CHAT.encode(), len(body), body)
            )
            await client.head()
            client.hang_up()
        assert [(await next_event(events))[0] for _ in range(2)] == ["inference_start", "error"]
    _, status = await scripted.get("/debug/status")
    assert (status["totalRequests"], status["totalErrors"]) == (1, 0)
    assert status["recentRequests"][0]["status"] == "failed"


async def test_failed_load_is_the_state_until_the_next(home: Home) -> None:
    """What went wrong with a model stays visible; what a client got wrong doesn't."""
    await home.post("load", modelKey="no such model")
    assert (await home.get("/debug/status"))[1]["status"] == "idle"
    await home.post("load", modelKey=LLM, loadConfig={"contextLength": 10_000_000})
    assert (await home.get("/debug/status"))[1]["status"] == "error"
    await home.post("load", modelKey=LLM)
    assert (await home.get("/debug/status"))[1]["status"] == "idle"


async def test_failed_model_operation_is_counted_once(home: Home) -> None:
    """In totalErrors of both reports; a client's mistake isn't, and the error rate never exceeds 100 %."""
    await home.post("load", modelKey="no such model")
    counted = [(await home.get("/debug/status"))[1]["totalErrors"]]
    await home.post("load", modelKey=LLM, loadConfig={"contextLength": 10_000_000})
    _, status = await home.get("/debug/status")
    _, metrics = await home.get("/debug/metrics")
    counted += [status["totalErrors"], metrics["performance"]["totalErrors"]]
    assert counted == [0, 1, 1]
    assert (status["totalRequests"], metrics["performance"]["totalRequests"]) == (0, 0)
    # One failure among four operations: two models were activated before.
    assert metrics["performance"]["errorRate"] == 25.0


async def test_metrics_have_every_field(home: Home) -> None:
    """Dashboards made for the older gateways find what they look for."""
    async with home.gateway.client.post(
        home.gateway.url(CHAT), json={"messages": [{"role": "user", "content": "x"}]}
    ):
        pass
    _, report = await home.get("/debug/metrics")
    assert report.keys() == {"modelInfo", "performance", "recentActivity", "system", "currentOperation"}
    assert report["performance"].keys() == {
        *("totalRequests", "totalErrors", "errorRate", "recentRequestCount", "completedRequestCount"),
        *("avgResponseTimeMs", "minResponseTimeMs", "maxResponseTimeMs", "medianResponseTimeMs"),
        *("avgTokensPerSec", "totalTokensProcessed", "requestsWithTokenData", "tokenStats"),
    }
    assert report["system"].keys() == {
        "uptime",
        "uptimeFormatted",
        "memoryUsage",
        "platform",
        "pythonVersion",
    }
    assert report["system"]["memoryUsage"]["rss"] > 10
    assert len(report["recentActivity"]["last10Requests"]) == 1
    assert report["modelInfo"]["modelKey"] == LLM


async def test_prometheus_is_told_in_bounded_labels(scripted: Home, upstream: ScriptedUpstream) -> None:
    """Names that clients make up don't multiply what is kept."""
    for number in range(80):
        body = {"model": f"invented-{number}", "x": "y"}
        async with scripted.gateway.client.post(scripted.gateway.url(CHAT), json=body):
            pass
        async with scripted.gateway.client.get(scripted.gateway.url(f"/v1/{number}")):
            pass
    async with scripted.gateway.client.get(scripted.gateway.url("/metrics")) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    requests = [sample for sample in families["lmgateway_requests"].samples if sample.name.endswith("_total")]
    assert sum(sample.value for sample in requests) == 160
    assert {sample.labels["route"] for sample in requests} == {CHAT, "other"}
    assert len({sample.labels["model"] for sample in requests}) == 52
    assert families["lmgateway_in_flight"].samples[0].value == 0
    assert families["lmgateway_upstream_reachable"].samples[0].value == 1
    assert {
        *(
            "lmgateway_request_seconds",
            "lmgateway_time_to_first_token_seconds",
            "lmgateway_tokens_per_second",
        ),
        *("lmgateway_aborted", "lmgateway_model_operations", "lmgateway_event_loop_lag_seconds"),
        *("lmgateway_event_subscribers", "lmgateway_events_lost", "lmgateway_build_info", "lmgateway_tokens"),
    } <= families.keys()


async def test_prompt_progress_is_the_waiting_requests(scripted: Home, upstream: ScriptedUpstream) -> None:
    """LM Studio's log doesn't say whose prompt it is: it is told of one that waits alone, never of two."""

    async def silent(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.script = silent
    activity, url = scripted.gateway.app[ACTIVITY], scripted.gateway.url(CHAT)
    seen = []
    asking = []
    for fraction in (0.25, 0.5):
        asking.append(asyncio.create_task(scripted.gateway.client.post(url, json=STREAM)))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        activity.prompt_progressed(fraction)
        _, requests = await scripted.get("/debug/requests")
        seen.append([(running["phase"], running["promptProgress"]) for running in requests["running"]])
    assert seen == [[("prompt", 0.25)], [("prompt", 0.25), ("waiting", None)]]
    assert (await scripted.get("/debug/status"))[1]["currentOperation"]["progress"] == 0.25
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
