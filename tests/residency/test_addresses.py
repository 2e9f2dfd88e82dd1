"""A reload sends the gateway to another LM Studio while models are loaded and unloaded."""

from __future__ import annotations

from lmgateway.simulator import Simulator
from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER, House
from tests.residency.test_room import refused
from tests.support.keys import OWNER
from tests.support.reloading import reload
from tests.support.stops import Stops
from tests.support.studio import Studio, running_studio


def move(house: House, other: Studio, **residency: object) -> None:
    reload(
        house.gateway,
        auth={"api_key": OWNER},
        lmstudio={"base_url": other.base_url, "connect_pause_ms": 20},
        residency=residency,
    )


def loads(studio: Studio) -> list[tuple[str, str, str]]:
    return [(load.model, load.outcome, load.loaded_by) for load in studio.simulator.ledger.loads]


async def test_a_load_of_the_old_address_holds_nobody_up(open_house: OpenHouse) -> None:
    """It still goes on there. The new LM Studio loads what is waited for, and is asked for nothing else."""
    async with open_house() as house, running_studio(Simulator(pace=Stops())) as other:
        house.pace.stop(f"load {LLM}")
        asked = house.ask(model=LLM)
        await house.pace.reached(f"load {LLM}")
        move(house, other)
        assert (await asked.ended()).status == 200
        assert (await house.answer(model=OTHER)).status == 200
        house.pace.go_on()
        await house.happens(lambda ledger: ledger.loads)
        assert (await house.answer(model=LLM)).status == 200
        assert loads(other) == [(LLM, "loaded", "sdk"), (OTHER, "loaded", "sdk"), (LLM, "loaded", "sdk")]


async def test_a_swap_at_the_old_address_ends(open_house: OpenHouse) -> None:
    """A model drains there. The request that waits for another one gets it from the new LM Studio."""
    async with open_house(residency=AT_ONCE) as house, running_studio(Simulator(pace=Stops())) as other:
        house.pace.stop("token")
        busy = house.stream(model=LLM)
        await busy.begun()
        waiting = house.ask(model=OTHER)
        await house.until("model_drain_start")
        move(house, other, **AT_ONCE)
        assert (await waiting.ended()).status == 200
        house.pace.go_on()
        assert (await busy.ended()).status == 200
        assert loads(other) == [(OTHER, "loaded", "sdk")]
        assert house.in_memory == [LLM]


async def test_pins_are_loaded_at_the_new_address(open_house: OpenHouse) -> None:
    """It has come up, as far as the gateway is concerned."""
    pins = {"pin": [LLM]}
    async with open_house(residency=pins) as house, running_studio(Simulator(pace=Stops())) as other:
        await house.until("model_load_complete")
        move(house, other, **pins)
        assert refused(await house.answer(model=OTHER)) == "model_blocked"
        await house.until("model_load_complete", times=2)
        assert (await house.instances())[LLM]["origin"] == "loaded"


async def test_a_failure_at_the_old_address_says_nothing_of_the_new_one(open_house: OpenHouse) -> None:
    """A model that couldn't be loaded isn't tried for a while, but for there."""
    async with open_house() as house, running_studio(Simulator(pace=Stops())) as other:
        house.simulator.load_faults.fail(LLM, cause="The file is damaged.")
        assert (await house.answer(model=LLM)).code == "load_failed"
        move(house, other)
        assert (await house.answer(model=LLM)).status == 200
