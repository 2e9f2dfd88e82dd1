"""Clients choose the names that are looked up once more, and LM Studio isn't flooded with them."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway import background
from lmgateway.boxes import second_looks
from lmgateway.boxes.second_looks import BURST, EVERY_SECONDS, SecondLooks
from lmgateway.errors import UpstreamUnavailable
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.household import CHAT, HELLO, OWNER, household


class Studio:
    """`begun` counts the requests for its lists."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False

    async def request(self) -> None:
        self.begun += 1
        await asyncio.sleep(0)
        if self.fails:
            raise UpstreamUnavailable("no answer")


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def looks(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> tuple[Studio, SecondLooks]:
    monkeypatch.setattr(second_looks, "monotonic", asyncio.get_running_loop().time)
    studio = Studio()
    return studio, SecondLooks(studio.request, background.DetachedTasks())


async def test_a_few_are_made_at_once_and_the_others_one_a_second(
    looks: tuple[Studio, SecondLooks], clock: Clock
) -> None:
    """And each name has its look, though later."""
    studio, second = looks
    for _ in range(BURST):
        await second.look()
    assert studio.begun == BURST
    waiting = [asyncio.create_task(second.look()) for _ in range(100)]
    await clock.pass_seconds(EVERY_SECONDS * 0.9)
    assert (studio.begun, [task for task in waiting if task.done()]) == (BURST, [])
    await clock.pass_seconds(EVERY_SECONDS * 0.2)
    await asyncio.gather(*waiting)
    assert studio.begun == BURST + 1


async def test_a_pause_allows_a_burst_again(looks: tuple[Studio, SecondLooks], clock: Clock) -> None:
    studio, second = looks
    for _ in range(BURST):
        await second.look()
    await clock.pass_seconds(BURST * EVERY_SECONDS)
    for _ in range(BURST):
        await second.look()
    assert studio.begun == 2 * BURST


async def test_its_failure_is_that_of_all_who_wait(looks: tuple[Studio, SecondLooks]) -> None:
    """And the next one may succeed."""
    studio, second = looks
    studio.fails = True
    results = await asyncio.gather(*(second.look() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in results] == [UpstreamUnavailable] * 3
    studio.fails = False
    await second.look()
    assert studio.begun == 2


@pytest.mark.parametrize("is_limited", [False, True])
@pytest.mark.parametrize("residency", [True, False])
async def test_lm_studio_is_asked_seldom(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, *, residency: bool, is_limited: bool
) -> None:
    """However many names a key makes up, one after the other."""
    monkeypatch.setattr(second_looks, "EVERY_SECONDS", 0.2)
    settings = {"residency": {"enabled": residency}}
    async with household(start_gateway, **settings) as home:
        key = await home.key(models=["q*"]) if is_limited else OWNER
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(15):
            reply = await home.ask(key, CHAT, {**HELLO, "model": f"none-{number}"})
            assert reply.status == (404 if residency or is_limited else 400)
        looks = sum(request.startswith("GET /api/v1/models") for request in home.studio.requests)
        # The first look, and a burst at once; the others take their time.
        assert looks <= 2 + BURST + (loop.time() - began) / 0.2
