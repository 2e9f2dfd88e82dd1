"""What others do in LM Studio beside the gateway, in its window or with its command line."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.simulator.engine.faults import LoadCancelled
from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER
from tests.residency.test_room import refused
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("ttl_seconds", [None, 3600])
async def test_what_others_loaded_is_used_and_left_alone(
    open_house: OpenHouse, ttl_seconds: float | None
) -> None:
    """It takes no room from the models that are loaded for requests."""
    async with open_house() as house:
        house.simulator.load(LLM, ttl_seconds=ttl_seconds)
        for model in (LLM, OTHER, LLM):
            assert (await house.answer(model=model)).status == 200
        assert house.loads == [(LLM, "loaded", "hand"), (OTHER, "loaded", "sdk")]
        assert (house.unloads, {*house.in_memory}) == ([], {LLM, OTHER})
        instances = await house.instances()
        assert {name: one["origin"] for name, one in instances.items()} == {
            LLM: "outside",
            OTHER: "on-demand",
        }


async def test_others_load_what_waits_for_room(open_house: OpenHouse) -> None:
    """The waiters use it as soon as it is noticed; a load of the gateway's own isn't needed."""
    async with open_house() as house:
        await house.know("ann", "bob")
        assert (await house.answer("ann", LLM)).status == 200
        house.pace.stop("token")
        streaming = house.stream("ann", LLM)
        await streaming.begun()
        waiting = house.ask("bob", OTHER)
        await house.until("request_queued", key="bob")
        house.simulator.load(OTHER)
        # Requests have the list renewed that is older than 5 s; so does this one of an unknown model.
        assert (await house.answer(model="no such model")).status == 404
        house.pace.go_on()
        for asked in (waiting, streaming):
            assert (await asked.ended()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk"), (OTHER, "loaded", "hand")]
        assert house.unloads == []


async def test_others_unload_a_busy_model(open_house: OpenHouse) -> None:
    """Its answers break, as LM Studio lets them; who waits for it gets it loaded once more, once."""
    models = {LLM: {"slots": 1}}
    async with open_house(models=models) as house:
        await house.know("ann", "bob", "cem")
        assert (await house.answer("ann")).status == 200
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        waiting = [house.ask(who) for who in ("bob", "cem")]
        await house.until("request_queued", times=3)  # the first one waited for the load
        house.simulator.memory.unload(LLM)
        house.pace.go_on()
        answer = await streaming.ended()
        assert b"Model unloaded" in answer.body
        for asked in waiting:
            assert (await asked.ended()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")] * 2


async def test_others_unload_an_idle_model(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request renews the list of models that is older than 5 s, and has it loaded again."""
    monkeypatch.setattr("lmgateway.boxes.catalogue.FRESH_SECONDS", 0.0)
    async with open_house() as house:
        for _ in range(2):
            assert (await house.answer()).status == 200
        house.simulator.memory.unload(LLM)
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")] * 2


async def test_others_unload_what_is_being_unloaded(open_house: OpenHouse) -> None:
    """That LM Studio doesn't know it any more is no failure: the swap goes on."""
    async with open_house() as house:
        assert (await house.answer(model=LLM)).status == 200
        house.pace.stop("token")
        house.simulator.memory.unload(LLM)
        asked = house.ask(model=OTHER)
        house.pace.go_on()
        assert (await asked.ended()).status == 200
        assert house.in_memory == [OTHER]


async def test_others_cancel_a_load(open_house: OpenHouse) -> None:
    """A click on Cancel in LM Studio ends the wait with its words."""
    async with open_house() as house:
        hang = house.simulator.load_faults.hang(LLM, times=1)
        asked = house.ask()
        await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
        hang.release(LoadCancelled)
        answer = await asked.ended()
        assert refused(answer) == "load_failed"
        assert "Operation canceled" in answer.message


async def test_others_load_our_model_anew(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance of the same name is theirs: LM Studio gives each a reference of its own."""
    monkeypatch.setattr("lmgateway.boxes.catalogue.FRESH_SECONDS", 0.0)
    async with open_house() as house:
        assert (await house.answer(model=LLM)).status == 200
        house.simulator.memory.unload(LLM)
        house.simulator.load(LLM)
        for model in (LLM, OTHER):
            assert (await house.answer(model=model)).status == 200
        assert {*house.in_memory} == {LLM, OTHER}


async def test_what_others_unloaded_a_moment_ago(open_house: OpenHouse) -> None:
    """A request was sent on by the name of an instance that is gone: it is sent again, and not refused."""
    async with open_house() as house:
        house.simulator.load(LLM, "theirs")
        assert (await house.answer(model=LLM)).status == 200
        house.simulator.memory.unload("theirs")
        answer = await house.answer(model=LLM)
        assert (answer.status, b"theirs" in answer.body) == (200, False)


async def test_others_load_the_model_meanwhile(open_house: OpenHouse) -> None:
    """Then there are two of it, and either answers; the gateway unloads its own only."""
    async with open_house(residency=AT_ONCE) as house:
        hang = house.simulator.load_faults.hang(LLM, times=1)
        asked = house.ask()
        await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
        other = house.simulator.load(LLM)
        hang.release()
        assert (await asked.ended()).status == 200
        assert {*house.in_memory} == {LLM, other.identifier}
        assert (await house.answer(model=OTHER)).status == 200
        assert {*house.in_memory} == {other.identifier, OTHER}
