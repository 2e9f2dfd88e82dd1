"""What LM Studio's own end tells: nobody is served by a list from before it was started again."""

from __future__ import annotations

import pytest

from lmgateway.simulator import Simulator
from tests.residency.conftest import OpenHouse
from tests.residency.house import LLM, OTHER
from tests.residency.test_room import refused
from tests.support.reloading import reload
from tests.support.stops import Stops
from tests.support.studio import running_studio
from tests.support.waiting import until

# A test's restart takes a moment on a busy machine.
PATIENCE = "lmgateway.scheduling.looks.PATIENCE_SECONDS"


async def test_a_restart_is_noticed_at_once(open_house: OpenHouse) -> None:
    """The list isn't 5 s old, but what it says is in memory is gone."""
    async with open_house() as house:
        for _ in range(3):
            assert (await house.answer()).status == 200
            await house.restart()
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


async def test_who_waits_is_served_after_a_restart(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran has broken off; the slot that it leaves isn't one any more."""
    monkeypatch.setattr(PATIENCE, 10.0)
    async with open_house(models={LLM: {"slots": 1}}) as house:
        await house.know("ann", "bob")
        assert (await house.answer("ann")).status == 200
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        waiting = house.ask("bob")
        await house.until("request_queued", key="bob")
        await house.restart()
        house.pace.go_on()
        broken = await streaming.ended()
        assert broken.broke or not broken.body.endswith(b"[DONE]\n\n")
        assert (await waiting.ended()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


async def test_it_stays_away_for_a_while(open_house: OpenHouse) -> None:
    """Requests are refused meanwhile. When it is back, the first one has its model loaded."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        await house.studio.stop()
        for _ in range(2):
            assert refused(await house.answer()) == "upstream_unavailable"
        await house.studio.start(Simulator(pace=house.pace))
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


async def test_without_a_link(open_house: OpenHouse) -> None:
    """The SDK can't be reached, so the first request that fails tells that LM Studio was stopped."""
    async with open_house() as house:
        house.simulator.load(LLM)
        house.studio.door.close("sdk")
        assert (await house.answer()).status == 200
        await house.studio.stop()
        assert refused(await house.answer()) == "upstream_unavailable"
        house.studio.door.open("sdk")
        await house.studio.start(Simulator(pace=house.pace))
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


async def test_pins_are_loaded_where_a_reload_leads(open_house: OpenHouse) -> None:
    """Another LM Studio is as good as one that was started again."""
    residency = {"pin": [OTHER]}
    async with open_house(residency=residency) as house, running_studio(Simulator(pace=Stops())) as other:
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
        reload(house.gateway, lmstudio={"base_url": other.base_url}, residency=residency)
        loads = other.simulator.ledger.loads
        await until(lambda: [(one.model, one.outcome) for one in loads] == [(OTHER, "loaded")])


async def test_a_load_that_a_restart_has_ended_is_begun_again(open_house: OpenHouse) -> None:
    """LM Studio has said that it is loaded, and is gone before the gateway has asked for its settings."""
    async with open_house(residency={"pin": [LLM]}) as house:
        for _ in range(3):
            await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
            await house.restart()
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]
