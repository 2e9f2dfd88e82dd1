"""The line as operators see it: /debug/queue, its events and metrics, with one slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lmgateway.observe.queue_metrics import QueueMetrics
from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.debug.conftest import LLM
from tests.support.gate import Gate
from tests.support.home import Home
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS

CHAT = "/v1/chat/completions"
HELLO = {"model": LLM, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
ONE_SLOT = {LLM: {"slots": 1}}
Events = asyncio.Queue[tuple[str, dict[str, Any]]]


@pytest.fixture
def gate() -> Gate:
    """Holds each answer before its first token."""
    return Gate(holds="token")


@pytest.fixture
async def home(start_gateway: StartGateway, gate: Gate) -> AsyncIterator[Home]:
    simulator = Simulator(pace=gate)
    simulator.load(LLM)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, models=ONE_SLOT)
        async with gateway.client.get(gateway.url("/admin/models")):  # so that the instance is known
            yield Home(gateway, studio)
        gate.opened.set()


@asynccontextmanager
async def asking(home: Home, name: str, **headers: str) -> AsyncIterator[asyncio.Task[tuple[int, Any]]]:
    """Send a request of this id, which is in line or with LM Studio when the block begins."""

    async def ask() -> tuple[int, Any]:
        url, sent = home.gateway.url(CHAT), {"X-Request-Id": name, **headers}
        async with home.gateway.client.post(url, json=HELLO, headers=sent) as response:
            return response.status, await response.json()

    async def is_placed() -> bool:
        report = await queue(home)
        return name in {one["requestId"] for one in report["waiting"] + report["running"]}

    task = asyncio.create_task(ask())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_placed():
                pass
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def queue(home: Home) -> Any:
    status, report = await home.get("/debug/queue")
    assert status == 200
    return report


async def metric(home: Home) -> dict[tuple[str, ...], float]:
    async with home.gateway.client.get(home.gateway.url("/metrics")) as response:
        families = text_string_to_metric_families(await response.text())
    return {
        (sample.name.removeprefix("lmgateway_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def next_of(events: Events, *names: str) -> tuple[str, dict[str, Any]]:
    """Return the next event of one of these names."""
    while True:
        name, data = await asyncio.wait_for(events.get(), PATIENCE_SECONDS)
        if name in names:
            return name, data


async def test_who_runs_and_who_waits(home: Home) -> None:
    """With one slot the second waits behind the first, the third behind both."""
    async with (
        asking(home, "first"),
        asking(home, "second"),
        asking(home, "third", **{"X-Priority": "background"}),
    ):
        report = await queue(home)
    (instance,) = report["instances"]
    assert (instance["box"], instance["model"], instance["state"]) == ("lmstudio", LLM, "resident")
    assert (instance["slots"], instance["ours"], instance["outside"], instance["idleMs"]) == (1, 1, 0, 0)
    (running,) = report["running"]
    assert (running["requestId"], running["key"], running["model"]) == ("first", "anyone", LLM)
    assert (running["box"], running["phase"]) == ("lmstudio", "waiting")
    waiting = [
        (one["requestId"], one["class"], one["reason"], one["ahead"], one["etaMs"])
        for one in report["waiting"]
    ]
    assert waiting == [
        ("second", "interactive", "slot", 0, None),
        ("third", "background", "slot", 1, None),
    ]
    (account,) = report["keys"]
    assert (account["key"], account["address"], account["share"]) == ("anyone", "127.0.0.1", 1.0)
    assert (account["running"], account["waiting"], account["behindMs"]) == (1, 2, 0)
    assert report["swap"] is None


async def test_the_list_of_models_counts_them_too(home: Home) -> None:
    """Beside what LM Studio lists of the instance."""
    async with asking(home, "first"), asking(home, "second"), asking(home, "third"):
        _, models = await home.get("/admin/models")
    (loaded,) = models["loaded"]
    assert {name: loaded[name] for name in ("identifier", "box", "state", "origin", "pinned")} == {
        "identifier": LLM,
        "box": "lmstudio",
        "state": "resident",
        "origin": "outside",
        "pinned": False,
    }
    assert (loaded["slots"], loaded["running"], loaded["waiting"], loaded["idleMs"]) == (1, 1, 2, 0)


async def test_a_pinned_model_is_shown_as_such(start_gateway: StartGateway) -> None:
    """Also if the configuration names it by an alias."""
    simulator = Simulator(pace=Pace.instant())
    simulator.load(LLM)
    tables = {"models": {LLM: {"aliases": ["house"]}}, "residency": {"pin": ["house"]}}
    async with running_studio(simulator) as studio:
        home = Home(await start_gateway(studio.base_url, **tables), studio)
        assert [one["pinned"] for one in (await home.get("/admin/models"))[1]["loaded"]] == [True]
        url, hello = home.gateway.url(CHAT), {**HELLO, "model": "house"}
        async with home.gateway.client.post(url, json=hello) as response:  # so that the instance is known
            assert response.status == 200
        assert [one["pinned"] for one in (await queue(home))["instances"]] == [True]


async def test_a_waiting_request_can_be_cancelled(home: Home) -> None:
    """It never reaches LM Studio, its client gets a 400, and no one waits any more."""
    async with asking(home, "first"), asking(home, "second") as second:
        url = home.gateway.url("/debug/requests/second")
        async with home.gateway.client.delete(url) as response:
            assert response.status == 200
        status, body = await asyncio.wait_for(second, PATIENCE_SECONDS)
        assert (status, body["error"]["code"]) == (400, "request_cancelled")
        report = await queue(home)
        assert (report["waiting"], [one["requestId"] for one in report["running"]]) == ([], ["first"])


async def test_a_request_that_waits_is_announced(home: Home, gate: Gate) -> None:
    """The events say what it waits for, then for how long it did; one that runs at once has none of them."""
    async with home.events() as events, asking(home, "first"), asking(home, "second") as second:
        name, start = await next_of(events, "inference_start", "request_queued")
        assert (name, start["requestId"]) == ("inference_start", "first")
        name, start = await next_of(events, "inference_start", "request_queued")
        assert (name, start["requestId"]) == ("inference_start", "second")
        _, queued = await next_of(events, "request_queued")
        assert queued.keys() == {"timestamp", "requestId", "key", "model", "class", "reason", "ahead"}
        assert (queued["requestId"], queued["key"], queued["model"]) == ("second", "anyone", LLM)
        assert (queued["class"], queued["reason"], queued["ahead"]) == ("interactive", "slot", 0)
        gate.opened.set()
        _, dispatched = await next_of(events, "request_dispatched")
        assert (dispatched["requestId"], dispatched["model"]) == ("second", LLM)
        assert dispatched["box"] == "lmstudio"
        assert (await asyncio.wait_for(second, PATIENCE_SECONDS))[0] == 200
        ended = [await next_of(events, "inference_complete", "request_dispatched") for _ in range(2)]
    by_id = {data["requestId"]: (name, data["queuedMs"]) for name, data in ended}
    assert by_id.keys() == {"first", "second"}
    assert by_id["first"] == ("inference_complete", 0)
    # Both are measured, a moment apart.
    assert by_id["second"][1] == pytest.approx(dispatched["waitedMs"], abs=50)


async def test_the_line_is_counted(home: Home, gate: Gate) -> None:
    """Requests in line, how long they waited, also one that gave up, and the machine's time by key."""
    async with asking(home, "first") as first:
        async with asking(home, "second") as second, asking(home, "third"):
            counted = await metric(home)
            assert counted["queue_waiting", "interactive", LLM] == 2
            assert counted["slots", LLM] == 1
        gate.opened.set()
        await asyncio.wait_for(asyncio.gather(first, return_exceptions=True), PATIENCE_SECONDS)
        assert second.cancelled()
    await until_ended(home)
    counted = await metric(home)
    assert counted["queue_waiting", "interactive", LLM] == 0
    assert counted["queue_wait_seconds_count", "interactive", LLM] == 2
    assert counted["gpu_seconds_total", "anyone"] == pytest.approx(counted["busy_seconds_total",])
    assert counted["busy_seconds_total",] > 0
    assert counted["gpu_seconds_total", "(outside)"] == 0
    assert counted["free_while_waiting_seconds_total",] == pytest.approx(0, abs=0.1)


async def until_ended(home: Home) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (report := await queue(home))["running"] or report["waiting"]:
            pass


async def test_refusals_are_counted(start_gateway: StartGateway, gate: Gate) -> None:
    """By their code."""
    simulator = Simulator(pace=gate)
    simulator.load(LLM)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, models=ONE_SLOT, queue={"max_waiting": 1})
        home = Home(gateway, studio)
        async with asking(home, "first"), asking(home, "second"):
            async with gateway.client.post(gateway.url(CHAT), json=HELLO) as response:
                assert (response.status, response.headers["X-Refused-Reason"]) == (429, "queue_full")
            assert (await metric(home))["queue_refused_total", "queue_full"] == 1
        gate.opened.set()


async def test_the_next_request_knows_how_long_answers_take(home: Home, gate: Gate) -> None:
    """An estimate needs one answer that has ended."""
    gate.opened.set()
    async with home.gateway.client.post(home.gateway.url(CHAT), json=HELLO) as response:
        assert response.status == 200
    gate.opened.clear()
    async with asking(home, "first"), asking(home, "second"):
        (waiting,) = (await queue(home))["waiting"]
        assert 0 <= waiting["etaMs"] < 60_000


async def test_a_fault_of_the_metrics_keeps_no_one_in_line(
    home: Home, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the waiting request runs."""

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(QueueMetrics, "waited", fail)
    async with asking(home, "first"), asking(home, "second") as second, asking(home, "third") as third:
        gate.opened.set()
        for task in (second, third):
            assert (await asyncio.wait_for(task, PATIENCE_SECONDS))[0] == 200
    assert caplog.text.count("Telling what happens in the line failed") == 1
