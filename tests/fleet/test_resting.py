"""What an idle box, or one that is down, is spared, and what it keeps awake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.fleet.machines import attendance_of, box_of, listed, rests
from tests.fleet.packets import Packets, sleeping
from tests.residency.house import LLM, OTHER
from tests.support.clock import Clock
from tests.support.scripted_box import scripted_box
from tests.support.upstream import Received, ScriptedUpstream, answer
from tests.support.waiting import until

IDLE: dict[str, Any] = {"idle_minutes": 0.003, "log_monitoring": True}
READ = (
    *("/health/ready", "/admin/models", "/admin/boxes", "/admin/usage", "/admin/keys", "/v1/models"),
    *("/debug/system", "/debug/queue", "/debug/status", "/debug/metrics", "/debug/requests", "/metrics"),
)


def asked(home: Boxes, box: str) -> tuple[int, dict[str, int], int]:
    """How many requests a box has had, its sockets by namespace, and how many of them are open."""
    studio = home.studios[box]
    return len(studio.requests), dict(studio.upgrades), studio.sockets


async def test_an_hour_of_looking_at_it_sends_nothing(
    open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch, network: Packets
) -> None:
    """Idle after the usual ten minutes, with the dashboard open, metrics scraped and its health checked."""
    tables = {"residency": {"pin": [OTHER], "max_models": 2}}
    async with open_boxes("pc", box=sleeping(network, log_monitoring=True), **tables) as home:
        await home.until("model_load_complete", modelKey=OTHER)
        assert (await home.answer(model=LLM)).status == 200
        clock = Clock(monkeypatch)
        await clock.pass_seconds(599)
        assert not attendance_of(home, "pc").is_resting
        await clock.pass_seconds(12)  # the request came a moment after the gateway's start
        await rests(home, "pc")
        before = asked(home, "pc")
        for _ in range(60):
            await clock.pass_seconds(60)
            for path in READ:
                async with home.gateway.client.get(home.gateway.url(path), headers=home.owner) as response:
                    assert response.status == 200, path
        assert asked(home, "pc") == before
        assert network.received.empty()
        assert (await home.answer(model=LLM)).status == 200


async def test_every_connection_is_closed(open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of HTTP a moment after the last request."""
    monkeypatch.setattr("lmgateway.boxes.http.pool.IDLE_SECONDS", 0.1)
    async with open_boxes("pc", box=IDLE) as home:
        await home.answer(model=LLM)
        pool = box_of(home, "pc").http._pool
        await rests(home, "pc")
        await until(lambda: not any(pool.connector._conns.values()) and not pool.connector._acquired)


async def test_a_model_that_nobody_uses_stays_in_an_idle_box(open_boxes: OpenBoxes) -> None:
    """To unload it, the gateway would have to disturb the machine. It goes when the box is used again."""
    async with open_boxes("pc", box=IDLE, residency={"idle_minutes": 0.006, "max_models": 2}) as home:
        await home.answer(model=LLM)
        await rests(home, "pc")
        before = asked(home, "pc")
        await asyncio.sleep(0.8)  # more than twice as long as it may be unused
        assert (asked(home, "pc"), home.loaded("pc")) == (before, [LLM])
        assert (await home.answer(model=OTHER)).status == 200
        await home.happens(lambda ledger: [one.model for one in ledger.unloads] == [LLM])


@pytest.mark.usefixtures("quick_greetings")
async def test_a_machine_that_is_down_is_only_greeted(open_boxes: OpenBoxes, network: Packets) -> None:
    """Its log isn't looked for, and a pinned model not loaded, before it is up again."""
    box = sleeping(network, log_monitoring=True)
    async with open_boxes("pc", box=box, residency={"pin": [OTHER]}) as home:
        await home.until("model_load_complete", modelKey=OTHER)
        studio = home.studios["pc"]
        await studio.stop()
        await home.becomes("pc", "down")
        # A machine that answers its greeting with an error, and counts who comes.
        there = ScriptedUpstream(answer(b"", status="503 Service Unavailable", extra="Connection: close\r\n"))
        async with await asyncio.start_server(there.serve_connection, "127.0.0.1", studio.port):
            await until(lambda: len(there.received) >= 20)
            assert {one.target for one in there.received} == {"/lmstudio-greeting"}
        logs = studio.upgrades["/diagnostics"]
        await home.restart_box("pc")
        await home.until("model_load_complete", modelKey=OTHER, times=2)
        await until(lambda: studio.upgrades["/diagnostics"] > logs)


async def text(home: Boxes, path: str) -> bytes:
    async with home.gateway.client.get(home.gateway.url(path), headers=home.owner) as response:
        return await response.read()


async def test_a_request_without_a_slot_keeps_its_box_awake(
    open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as its answer isn't complete, such as that of a GET."""
    go_on = asyncio.Event()

    async def slow(_received: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await go_on.wait()
        writer.write(b"cd")

    async with open_boxes("pc", box=IDLE) as home, scripted_box(slow, LLM) as slow_box:
        home.set_up("pc", base_url=slow_box.base_url)
        reading = asyncio.create_task(text(home, "/v1/files"))
        await until(lambda: any(one.target == "/v1/files" for one in slow_box.received))
        clock = Clock(monkeypatch)
        for _ in range(60):
            await clock.pass_seconds(1)  # five times as long as the box may be unused
        assert not attendance_of(home, "pc").is_resting
        go_on.set()
        assert await reading == b"abcd"
        await until(lambda: attendance_of(home, "pc").is_resting)


async def test_a_reload_disturbs_no_idle_box(open_boxes: OpenBoxes) -> None:
    """Neither one whose settings it changes."""
    async with open_boxes("a", "b", box=IDLE) as home:
        await listed(home, "a", "b")
        await rests(home, "a", "b")
        before = asked(home, "a")
        home.set_up("a", "b", wake_timeout_ms=1000)
        await until(lambda: box_of(home, "a").config.wake_timeout_ms == 1000)
        await asyncio.sleep(0.1)
        assert asked(home, "a") == before


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_a_box_that_may_not_rest_any_more_is_used_as_before(
    open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    """Its log is followed again, and no request waits in vain. The only one isn't idle unless it is set."""
    monkeypatch.setattr("lmgateway.boxes.attendance.USUAL_IDLE_MINUTES", 0.003)
    async with open_boxes("a", "b", box={"log_monitoring": True}) as home:
        await listed(home, "a", "b")
        await rests(home, "a", "b")
        logs = home.studios["a"].upgrades["/diagnostics"]
        home.set_up(*names, **({"idle_minutes": 0.0} if len(names) > 1 else {}))
        await until(lambda: home.studios["a"].upgrades["/diagnostics"] > logs)
        for model in (OTHER, LLM):
            assert (await home.answer(model=model)).status == 200
