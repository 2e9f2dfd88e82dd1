"""One model in memory, and requests for another one."""

from __future__ import annotations

import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, EMBEDDING, EMBEDDINGS, LLM, OTHER, THIRD, House


async def busy(house: House, *people: str) -> None:
    """Make keys, and have the first model loaded."""
    await house.know(*people)
    assert (await house.answer(model=LLM)).status == 200


async def test_a_generation_is_not_cut_off(open_house: OpenHouse) -> None:
    """Its bytes are those that it would have had alone, and the model is unloaded when it is done."""
    async with open_house(residency=AT_ONCE) as house:
        await busy(house, "ann", "bob")
        alone = await house.stream("ann").ended()
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        waiting = house.ask("bob", OTHER)
        drained = await house.until("model_drain_start")
        assert (drained["modelKey"], drained["for"], drained["running"]) == (LLM, OTHER, 1)
        assert house.unloads == []
        house.pace.go_on()
        answer = await streaming.ended()
        assert (answer.comparable, answer.broke) == (alone.comparable, False)
        assert (await waiting.ended()).status == 200
        assert house.unloads == [(LLM, "asked", 0)]
        assert house.in_memory == [OTHER]
        ended = await house.until("model_drain_end")
        assert (ended["modelKey"], ended["outcome"]) == (LLM, "unloaded")


async def test_a_draining_model_gets_nothing_new(open_house: OpenHouse) -> None:
    """A request for it waits until it is loaded again."""
    async with open_house(residency=AT_ONCE) as house:
        await busy(house, "ann", "bob", "cem")
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        swapping = house.ask("bob", OTHER)
        await house.until("model_drain_start", modelKey=LLM)
        late = house.ask("cem", LLM)
        await house.until("request_queued", key="cem")
        assert house.ledger.occupancy.running == 1
        assert (await house.instances())[LLM]["state"] == "draining"
        house.pace.go_on()
        for asked in (streaming, swapping, late):
            assert (await asked.ended()).status == 200
        assert [model for model, _, _ in house.loads] == [LLM, OTHER, LLM]
        assert [busy for _, _, busy in house.unloads] == [0, 0]


async def test_a_drain_that_nobody_waits_for(open_house: OpenHouse) -> None:
    """It is taken back when the client for which it began has left."""
    async with open_house(residency=AT_ONCE) as house:
        await busy(house, "ann", "bob", "cem")
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        leaving = house.ask("bob", OTHER)
        await house.until("model_drain_start", modelKey=LLM)
        await leaving.leave()
        ended = await house.until("model_drain_end")
        assert ended["outcome"] == "revoked"
        beside = house.stream("cem", LLM)
        await beside.begun()
        house.pace.go_on()
        for asked in (streaming, beside):
            assert (await asked.ended()).status == 200
        assert (len(house.loads), house.unloads) == (1, [])


async def test_an_idle_model_goes_at_once(open_house: OpenHouse) -> None:
    """However long it was to stay, since nobody uses it; the new one is loaded when it is gone."""
    async with open_house() as house:
        await busy(house)
        house.pace.stop("unload")
        asked = house.ask(model=OTHER)
        await house.pace.reached("unload")
        assert len(house.loads) == 1
        house.pace.go_on()
        assert (await asked.ended()).status == 200
        assert (house.unloads, house.in_memory) == ([(LLM, "asked", 0)], [OTHER])
        assert house.events("model_drain_start") == []


async def test_a_busy_model_stays_for_its_time(open_house: OpenHouse) -> None:
    """Until the request for another one has waited `switch_after_ms`: 20 s. Who asks for it is served."""
    async with open_house() as house:
        await busy(house, "ann", "bob")
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        waiting = house.ask("bob", OTHER)
        queued = await house.until("request_queued", key="bob")
        assert queued["reason"] == "model"
        beside = house.stream("ann")
        await beside.begun()
        assert (house.unloads, house.events("model_drain_start")) == ([], [])
        house.pace.go_on()
        for asked in (streaming, beside, waiting):
            assert (await asked.ended()).status == 200
        assert house.unloads == [(LLM, "asked", 0)]


async def test_there_is_room_for_two(open_house: OpenHouse) -> None:
    """Of three the one goes that was used least recently."""
    async with open_house(residency={"max_models": 2}) as house:
        for model in (LLM, OTHER, LLM, THIRD):
            assert (await house.answer(model=model)).status == 200
        assert house.in_memory == [LLM, THIRD]
        assert house.unloads == [(OTHER, "asked", 0)]


async def test_embedding_models_have_room_of_their_own(open_house: OpenHouse) -> None:
    """As many again as `max_models`."""
    async with open_house() as house:
        await busy(house)
        for _ in range(2):
            assert (await house.answer(model=EMBEDDING, path=EMBEDDINGS)).status == 200
            assert (await house.answer(model=LLM)).status == 200
        assert ({*house.in_memory}, len(house.loads)) == ({LLM, EMBEDDING}, 2)


async def test_two_keys_two_models(open_house: OpenHouse) -> None:
    """Whatever they send, no load cuts off an answer, and never are two models in memory."""
    async with open_house(residency=AT_ONCE) as house:
        await house.know("ann", "bob")
        asked = [
            house.ask(who, model, stream=number % 2 == 0)
            for number in range(6)
            for who, model in (("ann", LLM), ("bob", OTHER))
        ]
        for one in asked:
            answer = await one.ended()
            assert (answer.status, answer.broke) == (200, False)
        assert [busy for _, _, busy in house.unloads] == [0] * len(house.unloads)
        assert len(house.loads) == len(house.unloads) + 1
        assert {by for _, _, by in house.loads} == {"sdk"}


@pytest.mark.parametrize("force", [False, True])
async def test_an_admins_unload_waits_for_answers(open_house: OpenHouse, force: bool) -> None:
    """Or cuts them off, if it is forced."""
    async with open_house() as house:
        await busy(house)
        house.pace.stop("token")
        streaming = house.stream()
        await streaming.begun()
        unload = {"modelKey": LLM, "drainSeconds": 0, "force": force}
        status, _ = await house.call("POST", "/admin/models/unload", unload)
        assert status == (200 if force else 409)
        assert house.unloads == ([(LLM, "asked", 1)] if force else [])
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n") is not force
        assert (await house.answer(model=LLM)).status == 200
