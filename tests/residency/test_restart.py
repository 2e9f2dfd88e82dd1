"""A gateway that is started again beside an LM Studio that went on."""

from __future__ import annotations

import asyncio

import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import LLM, OTHER, THIRD
from tests.residency.test_idle import SOON


async def test_whose_models_are_whose(open_house: OpenHouse) -> None:
    """What was loaded for requests may go as before; what somebody asked for or others loaded stays."""
    async with open_house() as house:
        house.simulator.load(THIRD)
        assert (await house.answer(model=LLM)).status == 200
        assert (await house.call("POST", "/admin/models/load", {"modelKey": OTHER}))[0] == 200
        await house.close()
        await house.open()
        assert (await house.answer(model=LLM)).status == 200  # so the gateway has looked
        instances = await house.instances()
        assert {name: one["origin"] for name, one in instances.items()} == {
            LLM: "on-demand",
            OTHER: "loaded",
            THIRD: "outside",
        }
        assert (await house.answer(model="qwen/qwen3-8b")).status == 200
        assert house.unloads == [(LLM, "asked", 0)]


async def test_the_time_of_idleness_goes_on(open_house: OpenHouse) -> None:
    """A model of the gateway before is unloaded too, without a request."""
    async with open_house(residency=SOON) as house:
        assert (await house.answer(model=LLM)).status == 200
        await house.close()
        await house.open()
        await house.happens(lambda ledger: ledger.unloads)
        assert house.unloads == [(LLM, "asked", 0)]


async def test_another_instance_of_the_same_name(open_house: OpenHouse) -> None:
    """While the gateway was away, others loaded the model anew: that one is theirs."""
    async with open_house() as house:
        assert (await house.answer(model=LLM)).status == 200
        await house.close()
        house.simulator.memory.unload(LLM)
        house.simulator.load(LLM)
        await house.open()
        for model in (LLM, OTHER):
            assert (await house.answer(model=model)).status == 200
        assert {*house.in_memory} == {LLM, OTHER}


@pytest.mark.parametrize("place", ["unload", f"load {OTHER}"], ids=["unloading", "loading"])
async def test_it_ends_in_the_middle_of_a_swap(open_house: OpenHouse, place: str) -> None:
    """Who waits gets 503 at once; the next gateway serves both models, and cuts nothing off."""
    async with open_house() as house:
        assert (await house.answer(model=LLM)).status == 200
        house.pace.stop(place)
        asked = house.ask(model=OTHER)
        await house.pace.reached(place)
        closing = asyncio.create_task(house.close())
        await asyncio.gather(asked.task, return_exceptions=True)
        house.pace.go_on()
        await closing
        await house.open()
        for model in (OTHER, LLM):
            assert (await house.answer(model=model)).status == 200
        assert {busy for _, _, busy in house.unloads} == {0}
        assert {by for _, _, by in house.loads} == {"sdk"}
