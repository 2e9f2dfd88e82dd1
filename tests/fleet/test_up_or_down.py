"""Whether a box is up: its greetings, what it sends meanwhile, and who is told."""

from __future__ import annotations

import asyncio

import pytest

from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.fleet.machines import instead, listed
from tests.residency.house import LLM, OTHER
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("quick_time_outs")


async def ready(home: Boxes) -> tuple[int, bool]:
    status, report = await home.call("GET", "/health/ready")
    return status, report["lmstudio"]["reachable"]


async def reachable(home: Boxes) -> dict[str, str]:
    async with home.gateway.client.get(home.gateway.url("/metrics"), headers=home.owner) as response:
        lines = (await response.text()).splitlines()
    found = (line.split('"') for line in lines if line.startswith("lmgateway_box_reachable{"))
    return {parts[1]: parts[2].removeprefix("} ") for parts in found}


@pytest.mark.parametrize("kind", ["off", "frozen", "suspended"])
async def test_a_box_that_does_not_answer_is_down(open_boxes: OpenBoxes, kind: str) -> None:
    """It is published with the reason, and the gateway is ready as long as one answers."""
    async with open_boxes("a", "b") as home:
        await listed(home, "a", "b")
        home.seen.clear()
        assert (await ready(home), await reachable(home)) == ((200, True), {"a": "1.0", "b": "1.0"})
        async with instead(home, "a", kind):
            down = await home.until("box_state", box="a", state="down")
            assert down["reason"] == "LM Studio doesn't answer"
            assert (await ready(home), await reachable(home)) == ((200, True), {"a": "0.0", "b": "1.0"})
            async with instead(home, "b", kind):
                await home.becomes("b", "down")
                assert (await ready(home), await reachable(home)) == ((503, False), {"a": "0.0", "b": "0.0"})
        await home.until("box_state", box="a", state="up", reason="LM Studio answers")
        assert await ready(home) == (200, True)


async def test_one_late_greeting_is_no_outage(open_boxes: OpenBoxes) -> None:
    """The next one counts too: two in a row are down."""
    async with open_boxes("a", "b") as home:
        await listed(home, "a", "b")
        home.seen.clear()
        studio = home.studios["a"]
        studio.greets.clear()
        await home.becomes("a", "down")
        studio.greets.set()
        await home.becomes("a", "up")
        assert home.events("box_state", box="b", state="down") == []


@pytest.mark.parametrize("what", ["answer", "load"])
async def test_a_busy_box_is_up_however_late_its_greeting(open_boxes: OpenBoxes, what: str) -> None:
    """As long as it sends bytes, or tells how far a load is. When it sends nothing any more, it is down."""
    async with open_boxes("a", "b") as home:
        await listed(home, "a", "b")
        if what == "answer":
            home.load("a", LLM)
        model = LLM if what == "answer" else OTHER
        pace = Steps(home, "a")
        async with pace:
            running = home.stream(model=model, max_tokens=200)
            await pace.passed(1)
            home.studios["a"].greets.clear()
            await pace.passed(15)
            # Some three greetings were late meanwhile, and none is answered.
            assert home.events("box_state", box="a", state="down") == []
        await home.becomes("a", "down")
        await running.leave()


class Steps:
    """Has a box's generations and loads go on in steps of 0.1 s, as long as the block lasts."""

    def __init__(self, home: Boxes, box: str) -> None:
        self._pace = home.paces[box]
        self._count = 0
        self._goes = asyncio.Event()
        self._goes.set()

    async def __aenter__(self) -> None:
        self._usual = self._pace.token, self._pace.load
        self._pace.token = self._step  # type: ignore[method-assign]
        self._pace.load = self._step  # type: ignore[method-assign]

    async def _step(self, *_what: object) -> None:
        await self._goes.wait()
        self._count += 1
        await asyncio.sleep(0.1)

    async def __aexit__(self, *_exc: object) -> None:
        self._goes.clear()

    async def passed(self, number: int) -> None:
        await until(lambda: self._count >= number)
