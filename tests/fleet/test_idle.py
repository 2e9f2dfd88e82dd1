"""An idle machine is left alone, so that it falls asleep by its own power settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmgateway.web.state import FLEET
from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import LLM, OTHER
from tests.support.clock import Clock

SECONDS = 10
IDLE: dict[str, Any] = {"idle_minutes": 0.003, "log_monitoring": True}
READ = (
    *("/health", "/health/ready", "/admin/models", "/admin/models/active", "/admin/usage", "/admin/keys"),
    *("/debug/system", "/debug/queue", "/debug/status", "/debug/metrics", "/debug/requests", "/debug/limits"),
    *("/metrics", "/v1/models", "/api/v0/models", "/api/v1/models"),
)


async def is_idle(home: Boxes, box: str) -> None:
    """Wait until nothing is connected to a box any more."""
    found = home.gateway.app[FLEET].boxes.get(box)
    assert found is not None
    async with asyncio.timeout(SECONDS):
        while not (found.is_left_alone and home.studios[box].sockets == 0):
            await asyncio.sleep(0.01)


def asked(home: Boxes, box: str) -> tuple[int, int]:
    """How many requests and sockets a box has had."""
    studio = home.studios[box]
    return len(studio.requests), sum(studio.upgrades.values())


async def test_whoever_looks_asks_no_idle_box(open_boxes: OpenBoxes) -> None:
    """Health checks, lists, metrics and the dashboard show what was known last."""
    async with open_boxes("a", "b", box=IDLE) as home:
        await home.answer(model=LLM)
        shown = await home.call("GET", "/admin/models")
        for box in "ab":
            await is_idle(home, box)
        before = {box: asked(home, box) for box in "ab"}
        for path in READ:
            async with home.gateway.client.get(home.gateway.url(path), headers=home.owner) as response:
                assert response.status == 200, path
        assert {box: asked(home, box) for box in "ab"} == before
        _, models = await home.call("GET", "/admin/models")
        assert [one["modelKey"] for one in models["downloaded"]] == [
            one["modelKey"] for one in shown[1]["downloaded"]
        ]


async def test_time_alone_sends_nothing(open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an hour: no greeting, no look, no count, also while a model is pinned."""
    async with open_boxes("a", "b", box=IDLE, residency={"pin": [OTHER]}) as home:
        await home.until("model_load_complete", times=2, modelKey=OTHER)
        for box in "ab":
            await is_idle(home, box)
        before = {box: asked(home, box) for box in "ab"}
        clock = Clock(monkeypatch)
        for _ in range(60):
            await clock.pass_seconds(60)
        assert {box: asked(home, box) for box in "ab"} == before


async def test_a_request_for_one_box_leaves_the_other_alone(open_boxes: OpenBoxes) -> None:
    async with open_boxes("a", "b", box=IDLE) as home:
        await home.answer(model=LLM)
        for box in "ab":
            await is_idle(home, box)
        before = asked(home, "b")
        assert await home.box_of(home.ask(model=LLM)) == "a"
        assert asked(home, "b") == before


async def test_the_only_lm_studio_rests_if_it_may(open_boxes: OpenBoxes) -> None:
    """And its log is followed again when it is used."""
    async with open_boxes("pc", box=IDLE) as home:
        await home.answer(model=LLM)
        await is_idle(home, "pc")
        logs = home.studios["pc"].upgrades["/diagnostics"]
        assert (await home.answer(model=LLM)).status == 200
        async with asyncio.timeout(SECONDS):
            while home.studios["pc"].upgrades["/diagnostics"] == logs:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("what", ["answer", "load"])
async def test_a_box_at_work_is_not_idle(open_boxes: OpenBoxes, what: str) -> None:
    """However long it takes."""
    async with open_boxes("a", "b", box=IDLE) as home:
        await home.answer(model=LLM)
        home.paces["a"].stop("token", f"load {OTHER}")
        home.paces["b"].stop("token", f"load {OTHER}")
        model = LLM if what == "answer" else OTHER
        running = home.stream(model=model)
        if what == "answer":
            await running.begun()
        else:
            await home.until("model_load_start", modelKey=OTHER)
        box = "a" if what == "answer" else "b"
        found = home.gateway.app[FLEET].boxes.get(box)
        assert found is not None
        idle = "b" if what == "answer" else "a"
        await is_idle(home, idle)
        assert not found.is_left_alone
        for pace in home.paces.values():
            pace.go_on()
        assert (await running.ended()).status == 200


async def test_a_model_that_is_gone_is_noticed_after_a_rest(open_boxes: OpenBoxes) -> None:
    """What an idle box has in memory is looked up before a request runs there."""
    async with open_boxes("pc", box=IDLE) as home:
        await home.answer(model=LLM)
        await is_idle(home, "pc")
        await home.restart_box("pc")
        assert (await home.answer(model=LLM)).status == 200
        assert [load.loaded_by for load in home.studios["pc"].simulator.ledger.loads] == ["sdk"]
