"""Reloads that add boxes, take them away, or give them another address, while requests run and wait."""

from __future__ import annotations

from time import monotonic

from lmgateway.web.state import SCHEDULER
from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import LLM, OTHER, THIRD
from tests.support.waiting import until

ONE_SLOT = {LLM: {"slots": 1}}


def busy_in_a_minute(home: Boxes) -> float:
    """How many seconds more the machines will have been busy in a minute, if nothing happens."""
    accounts, now = home.gateway.app[SCHEDULER].line.accounts, monotonic()
    accounts.advance(now)
    before = accounts.busy_seconds
    accounts.advance(now + 60)
    return accounts.busy_seconds - before


async def test_what_waits_runs_on_a_box_that_is_added(open_boxes: OpenBoxes) -> None:
    async with open_boxes("a", "b", "c", models=ONE_SLOT) as home:
        home.configure("a", "c")
        home.drain("c")
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.paces["a"].stop("token")
        running = home.stream(model=LLM)
        await running.begun()
        waiting = home.ask(model=LLM)
        await home.until("request_queued", reason="slot")
        home.configure("a", "b", "c")
        assert await home.box_of(waiting) == "b"
        home.paces["a"].go_on()
        assert await home.box_of(running) == "a"


async def test_what_waits_for_a_box_that_goes_moves_to_another(open_boxes: OpenBoxes) -> None:
    """The answer that runs there is completed."""
    async with open_boxes("a", "b", "c", models=ONE_SLOT) as home:
        for box in "bc":
            home.drain(box)
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.paces["a"].stop("token")
        running = home.stream(model=LLM)
        await running.begun()
        waiting = [home.ask(model=LLM) for _ in range(3)]
        await home.until("request_queued", times=3)
        for box in "bc":
            home.drain(box, False)
        home.configure("b", "c")
        assert {await home.box_of(one) for one in waiting} <= {"b", "c"}
        home.paces["a"].go_on()
        assert await home.box_of(running) == "a"
        stations = home.gateway.app[SCHEDULER].stations
        await until(lambda: not any(station.residency.loads for station in stations))
        assert busy_in_a_minute(home) == 0


async def test_a_load_on_a_box_that_goes_is_made_elsewhere(open_boxes: OpenBoxes) -> None:
    """Nobody pays for the first one any more."""
    async with open_boxes("a", "b", "c") as home:
        home.paces["a"].stop(f"load {LLM}")
        waiting = [home.ask(model=LLM) for _ in range(3)]
        await home.paces["a"].reached(f"load {LLM}")
        home.configure("b", "c")
        assert [await home.box_of(one) for one in waiting] == ["b", "b", "b"]
        home.paces["a"].go_on()
        assert busy_in_a_minute(home) == 0
        home.configure("a", "b", "c")
        assert await home.box_of(home.ask(model=OTHER)) in {"a", "c"}


async def test_only_one_box_is_left(open_boxes: OpenBoxes) -> None:
    """What waited for any of them runs there, and what was loading elsewhere is loaded there."""
    async with open_boxes("a", "b") as home:
        home.paces["a"].stop(f"load {LLM}")
        waiting = home.ask(model=LLM)
        await home.paces["a"].reached(f"load {LLM}")
        home.configure("b")
        assert await home.box_of(waiting) == "b"
        assert await home.box_of(home.ask(model=THIRD)) == "b"
        home.paces["a"].go_on()


async def test_another_address_is_another_box(open_boxes: OpenBoxes) -> None:
    """What runs at the old one is completed; what is in memory there doesn't count any more."""
    async with open_boxes("a", "b", "c") as home:
        home.configure("a", "b")
        home.drain("b")
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.paces["a"].stop("token")
        running = [home.stream(model=LLM) for _ in range(4)]
        for one in running:
            await one.begun()
        waiting = home.ask(model=LLM)
        await home.until("request_queued")
        home.configure("b", a=home.studios["c"].base_url)
        assert await home.box_of(waiting) == "a"
        assert home.loaded("c") == [LLM]
        home.paces["a"].go_on()
        assert [(await one.ended()).status for one in running] == [200] * 4
        assert busy_in_a_minute(home) == 0


async def test_a_box_that_comes_back_has_what_it_had(open_boxes: OpenBoxes) -> None:
    """It is asked what is in its memory before anything is loaded."""
    async with open_boxes("a", "b") as home:
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.configure("b")
        home.configure("a", "b")
        assert await home.box_of(home.ask(model=LLM)) == "a"
        assert home.loaded("b") == []


async def test_a_drain_outlives_a_reload(open_boxes: OpenBoxes) -> None:
    """Also one that takes the box away for a while: the drain is of its name."""
    async with open_boxes("a", "b") as home:
        home.drain("a")
        home.configure("b", "a")
        assert await home.box_of(home.ask(model=LLM)) == "b"
        home.configure("b")
        home.configure("a", "b")
        assert await home.box_of(home.ask(model=OTHER)) == "b"
