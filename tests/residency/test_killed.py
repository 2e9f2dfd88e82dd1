"""LM Studio is killed in the middle of a swap, and started again."""

from __future__ import annotations

import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER, House
from tests.residency.test_room import refused


async def begin_swap(house: House, state: str) -> None:
    """Have ann's model leave for bob's up to this state of the swap."""
    await house.know("ann", "bob", "cem")
    assert (await house.answer("ann", LLM)).status == 200
    places = {"draining": "token", "unloading": "unload", "loading": f"load {OTHER}"}
    house.pace.stop(places[state])
    if state == "draining":
        await house.stream("ann", LLM).begun()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("state", ["draining", "unloading", "loading"])
async def test_lm_studio_is_killed(open_house: OpenHouse, state: str) -> None:
    """What runs breaks, what waits is served or refused with 503, and later requests are served as ever."""
    async with open_house(residency=AT_ONCE) as house:
        await begin_swap(house, state)
        waiting = house.ask("bob", OTHER)
        if state == "draining":
            await house.until("model_drain_start", modelKey=LLM)
        else:
            await house.pace.reached("unload" if state == "unloading" else f"load {OTHER}")
        await house.studio.stop()
        house.pace.go_on()
        await house.restart()
        answer = await waiting.ended()
        assert answer.status == 200 or refused(answer) in {"upstream_unavailable", "load_failed"}
        for model in (LLM, OTHER):
            assert (await house.answer("cem", model)).status == 200
        assert {(how, by) for _, how, by in house.loads} == {("loaded", "sdk")}
        assert {busy for _, _, busy in house.unloads} <= {0}
        _, report = await house.call("GET", "/debug/queue")
        assert (report["waiting"], report["running"], report["swap"]) == ([], [], None)


@pytest.mark.usefixtures("impatient")
async def test_lm_studio_stays_away(open_house: OpenHouse) -> None:
    """Who waits for a load when it is killed gets 503, not silence."""
    async with open_house(residency=AT_ONCE) as house:
        house.pace.stop(f"load {LLM}")
        asked = house.ask()
        await house.pace.reached(f"load {LLM}")
        await house.studio.stop()
        house.pace.go_on()
        assert (await asked.ended()).status == 503
        await house.studio.start(house.simulator.__class__(pace=house.pace))
        assert (await house.answer()).status == 200
