"""Loads that fail or never end."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.simulator.engine.faults import Fault as Damaged
from tests.residency.conftest import OpenHouse
from tests.residency.house import LLM, OTHER
from tests.residency.test_room import refused
from tests.support.waiting import PATIENCE_SECONDS

FIRST_PAUSE = "lmgateway.scheduling.residency.failures.FIRST_PAUSE_SECONDS"


async def test_a_failed_load_is_said_to_all_that_wait(open_house: OpenHouse) -> None:
    """503 in LM Studio's words, after one try."""
    async with open_house() as house:
        house.simulator.load_faults.fail(LLM, cause="The file is damaged.")
        house.pace.stop(f"load {LLM}")
        asked = [house.ask() for _ in range(4)]
        await house.until("request_queued", times=4)
        house.pace.go_on()
        for one in asked:
            answer = await one.ended()
            assert (refused(answer), "The file is damaged." in answer.message) == ("load_failed", True)
        assert house.loads == [(LLM, "failed", "sdk")]


async def test_it_is_not_tried_again_at_once(open_house: OpenHouse) -> None:
    """For 30 s requests get the same answer without a try; other models are loaded."""
    async with open_house() as house:
        house.simulator.load_faults.fail(LLM, times=1, cause="The file is damaged.")
        assert refused(await house.answer()) == "load_failed"
        again = await house.answer()
        assert (refused(again), "The file is damaged." in again.message) == ("load_failed", True)
        assert len(house.loads) == 1
        assert (await house.answer(model=OTHER)).status == 200


async def test_it_is_tried_again_later(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all is well if that succeeds."""
    monkeypatch.setattr(FIRST_PAUSE, 0.3)
    async with open_house() as house:
        house.simulator.load_faults.fail(LLM, times=1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await house.answer()).status != 200:
                assert refused(answer) == "load_failed"
        assert [how for _, how, _ in house.loads] == ["failed", "loaded"]


async def test_a_stream_that_has_begun_gets_an_event(open_house: OpenHouse) -> None:
    """After keep-alives a failed load is the protocol's error event, and no clean end."""
    async with open_house(queue={"keepalive_ms": 20}) as house:
        hang = house.simulator.load_faults.hang(LLM)
        asked = house.stream()
        await asked.begun()
        await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
        hang.release(lambda: Damaged("Failed to load model", cause="The file is damaged."))
        answer = await asked.ended()
        assert (answer.status, answer.broke) == (200, True)
        assert b'"code": "load_failed"' in answer.body or b'"code":"load_failed"' in answer.body
        assert b"The file is damaged." in answer.body


async def test_a_load_that_never_ends(open_house: OpenHouse) -> None:
    """Who waits for it is refused in the end; who wants a model that is in memory is served."""
    async with open_house(
        residency={"max_models": 2}, queue={"max_wait_plain_ms": 2000, "max_wait_ms": 2000}
    ) as house:
        assert (await house.answer(model=OTHER)).status == 200
        hang = house.simulator.load_faults.hang(LLM, at=0)
        asked = house.ask()
        await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
        assert (await house.answer(model=OTHER)).status == 200
        answer = await asked.ended()
        assert (answer.status, answer.code) == (429, "wait_expired")
        assert (await house.answer(model=OTHER)).status == 200


async def test_an_admin_cancels_a_load(open_house: OpenHouse) -> None:
    """Those who wait for it are told, and a later request loads it."""
    async with open_house() as house:
        hang = house.simulator.load_faults.hang(LLM, times=1)
        asked = house.ask()
        await house.happens(lambda ledger: ledger.loads)
        status, _ = await house.call("POST", "/admin/models/load/cancel", {"modelKey": LLM})
        assert status == 200
        answer = await asked.ended()
        assert (answer.status, answer.code) == (409, "load_cancelled")
        assert hang.reached.is_set()
        assert (await house.answer()).status == 200
        assert [how for _, how, _ in house.loads] == ["cancelled", "loaded"]
