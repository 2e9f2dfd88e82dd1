"""LM Studio's SDK can't be reached, while its HTTP APIs can."""

from __future__ import annotations

import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import LLM, OTHER
from tests.residency.test_room import refused
from tests.support.waiting import until

# The model is to be loaded beside the one in memory, or in its place.
BESIDE_OR_INSTEAD = pytest.mark.parametrize("max_models", [2, 1], ids=["beside", "instead"])


@pytest.mark.usefixtures("impatient")
@BESIDE_OR_INSTEAD
async def test_what_is_in_memory_is_served(open_house: OpenHouse, max_models: int) -> None:
    """LM Studio's HTTP list tells what that is. Other models wait for the link, and then get 503."""
    async with open_house(residency={"max_models": max_models}) as house:
        assert (await house.answer(model=LLM)).status == 200
        house.studio.door.close("sdk")
        await until(lambda: house.studio.sockets == 0)
        asked = house.ask(model=OTHER)
        await until(lambda: house.studio.door.refused)
        assert (await house.answer(model=LLM)).status == 200
        answer = await asked.ended()
        assert refused(answer) == "upstream_unavailable"
        assert "SDK" in answer.message
        assert (await house.answer(model=LLM)).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


@pytest.mark.usefixtures("impatient")
async def test_it_was_never_there(open_house: OpenHouse) -> None:
    """The gateway was started meanwhile, and others had a model loaded before."""
    async with open_house() as house:
        house.studio.door.close("sdk")
        house.simulator.load(LLM)
        assert (await house.answer(model=LLM)).status == 200
        assert refused(await house.answer(model=OTHER)) == "upstream_unavailable"
        assert house.loads == [(LLM, "loaded", "hand")]


@pytest.mark.usefixtures("eager")
@BESIDE_OR_INSTEAD
async def test_the_link_comes_back_in_time(open_house: OpenHouse, max_models: int) -> None:
    """Then the request is served, as if nothing had happened."""
    async with open_house(residency={"max_models": max_models}) as house:
        assert (await house.answer(model=LLM)).status == 200
        house.studio.door.close("sdk")
        await until(lambda: house.studio.sockets == 0)
        asked = house.ask(model=OTHER)
        await until(lambda: house.studio.door.refused)
        house.studio.door.open("sdk")
        assert (await asked.ended()).status == 200
        assert house.in_memory == [LLM, OTHER][-max_models:]


@pytest.mark.usefixtures("eager")
async def test_a_load_loses_its_link(open_house: OpenHouse) -> None:
    """LM Studio gives up a load whose socket is gone; it is begun again when the link is back."""
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        asked = house.ask()
        await house.pace.reached(f"load {LLM}")
        house.studio.door.close("sdk")
        await house.happens(lambda ledger: ledger.loads[0].outcome == "cancelled")
        house.pace.go_on()
        house.studio.door.open("sdk")
        answer = await asked.ended()
        assert answer.status == 200
        assert [how for _, how, _ in house.loads] == ["cancelled", "loaded"]
