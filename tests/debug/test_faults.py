"""The bookkeeping has a fault of its own, which no input is known for: requests go on without it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmgateway.observe import access_log, event_stream, recorder, sse
from lmgateway.observe.events import ModelUnloadStart
from lmgateway.observe.history import History
from lmgateway.observe.model_labels import BoundedLabels
from lmgateway.observe.prometheus import Metrics
from lmgateway.observe.recorder import Recorder
from lmgateway.observe.usage import Counts
from lmgateway.traffic import body_meter, metering
from lmgateway.traffic.body_meter import BodyMeter
from lmgateway.traffic.metering import StreamMeter
from lmgateway.web.state import ACTIVITY, EVENTS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.home import Home
from tests.support.upstream import STREAM_HEAD, ScriptedUpstream, chunk, raw
from tests.support.waiting import until

LLM = "qwen2.5-7b-instruct"
TOKEN = b'data: {"model":"m","choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
END = b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
PLACES = [
    (recorder, "make_record"),
    (recorder, "_start_event"),
    (recorder, "_end_event"),
    (recorder, "conclude"),
    (Recorder, "exchange_began"),
    (Recorder, "exchange_ended"),
    (History, "add"),
    (BoundedLabels, "of"),
    (Counts, "add_record"),
    (event_stream, "NumberedEvent"),
    (sse, "sse_frame"),
    (access_log, "write"),
    (metering, "read"),
    (body_meter, "read"),
    (BodyMeter, "feed"),
    (BodyMeter, "finish"),
    (StreamMeter, "feed"),
    (StreamMeter, "_see"),
    (StreamMeter, "finish"),
]
IDS = [f"{getattr(place, '__name__', place).rpartition('.')[2]}.{name}" for place, name in PLACES]


def break_down(patched: pytest.MonkeyPatch, place: object, name: str) -> list[None]:
    """Have each call of this raise; returns a list with an item for each call."""
    calls: list[None] = []

    def fail(*_arguments: Any, **_options: Any) -> None:
        calls.append(None)
        raise RuntimeError("a fault of ours")

    patched.setattr(place, name, fail)
    return calls


async def ask(gateway: Gateway, *, stream: bool) -> tuple[int, bytes]:
    body = {"stream": stream}
    async with gateway.client.post(gateway.url("/v1/chat/completions"), json=body) as response:
        return response.status, await response.read()


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    stream = raw(
        STREAM_HEAD + chunk(TOKEN), chunk(TOKEN[:20]), chunk(TOKEN[20:] + END), b"0\r\n\r\n", then_close=False
    )
    plain = raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\r\n"
        b'{"usage":{"prompt_tokens":7,"input_tokens":  7}}'[:-1],
        then_close=False,
    )

    async def script(request: Any, *streams: Any) -> None:
        await (stream if b"true" in request.body else plain)(request, *streams)

    upstream.script = script
    return await start_gateway(upstream.base_url)


@pytest.mark.parametrize(("place", "name"), PLACES, ids=IDS)
async def test_a_fault_in_the_bookkeeping_fails_no_request(
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: object,
    name: str,
) -> None:
    """It is logged once and not for each request; what isn't of its own is counted as ever."""
    expected = [await ask(gateway, stream=stream) for stream in (False, True)]
    assert [status for status, _ in expected] == [200, 200]
    gateway.app[ACTIVITY].flush()
    with monkeypatch.context() as patched:
        async with gateway.client.get(gateway.url("/debug/stream")) as reading:
            await reading.content.readuntil(b"\n\n")
            calls = break_down(patched, place, name)
            for _ in range(3):
                assert [await ask(gateway, stream=stream) for stream in (False, True)] == expected
            gateway.app[ACTIVITY].flush()
            await until(lambda: calls)
    lines = [record for record in caplog.records if "isn't logged again" in record.getMessage()]
    assert 1 <= len(lines) <= 2
    assert all(record.exc_info for record in lines)
    async with gateway.client.get(gateway.url("/metrics")) as response:
        assert "lmgateway_in_flight 0.0" in await response.text()
    async with gateway.client.get(gateway.url("/debug/status")) as response:
        counted = (await response.json())["totalRequests"]
    assert counted == (2 if (place is Recorder and name == "exchange_ended") or name == "conclude" else 8)
    # The next request is booked as ever.
    await ask(gateway, stream=True)
    async with gateway.client.get(gateway.url("/debug/requests")) as response:
        last = (await response.json())["recent"][-1]
    assert (last["outcome"], last["tokens"]) == ("completed", 2)


async def test_a_fault_in_the_bookkeeping_fails_no_operation(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that LM Studio has loaded is never reported as failed."""
    with monkeypatch.context() as patched:
        break_down(patched, Metrics, "operation")
        break_down(patched, event_stream, "NumberedEvent")
        for action in ("load", "activate", "unload") * 2:
            assert (await home.post(action, modelKey=LLM))[0] == 200
        assert (await home.post("load", modelKey="unknown"))[0] == 404
    assert sum("isn't logged again" in record.getMessage() for record in caplog.records) == 2
    assert (await home.get("/debug/status"))[1]["status"] == "idle"


async def test_an_event_that_can_not_be_encoded_ends_no_stream(home: Home) -> None:
    """The readers get the next ones, also those that come later and read the history."""
    async with home.events() as events:
        half = "half of one: \ud83d"
        publish = home.gateway.app[EVENTS].publish
        for odd in (half, object(), {1: {2: half}}):
            publish(ModelUnloadStart(model_key=odd, instance_id=None))  # type: ignore[arg-type]
        assert (await home.post("activate", modelKey=LLM))[0] == 200
        assert (await asyncio.wait_for(events.get(), 5))[0] == "model_activate"
    headers = {"Last-Event-ID": "0"}
    async with home.gateway.client.get(home.gateway.url("/debug/stream"), headers=headers) as response:
        seen = b""
        while b"event: model_activate" not in seen:
            seen += await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
