"""Models that are unloaded because nobody uses them, and those that are never unloaded."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.residency.conftest import OpenHouse
from tests.residency.house import EMBEDDING, EMBEDDINGS, LLM, OTHER, THIRD

# 0.3 s.
SOON: dict[str, Any] = {"idle_minutes": 0.005}


async def test_an_idle_model_is_unloaded(open_house: OpenHouse) -> None:
    """After `idle_minutes` without a request, and loaded again for the next one."""
    async with open_house(residency=SOON) as house:
        for model, path in ((LLM, "/v1/chat/completions"), (EMBEDDING, EMBEDDINGS)):
            assert (await house.answer(model=model, path=path)).status == 200
        await house.happens(lambda ledger: len(ledger.unloads) == 2)
        assert {*house.unloads} == {(LLM, "asked", 0), (EMBEDDING, "asked", 0)}
        await house.until("model_unload_complete", modelKey=LLM)
        assert (await house.answer(model=LLM)).status == 200


async def test_a_model_in_use_is_not_idle(open_house: OpenHouse) -> None:
    """The time counts from the end of its last request."""
    async with open_house(residency=SOON) as house:
        assert (await house.answer(model=EMBEDDING, path=EMBEDDINGS)).status == 200
        house.pace.stop("token")
        streaming = house.stream(model=LLM)
        await streaming.begun()
        # The other model has been idle for longer than this one by then.
        await house.happens(lambda ledger: [one for one in ledger.unloads if one.model == EMBEDDING])
        assert house.in_memory == [LLM]
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        await house.happens(lambda ledger: len(ledger.unloads) == 2)
        assert house.unloads[-1] == (LLM, "asked", 0)


async def test_what_was_loaded_on_purpose_stays(open_house: OpenHouse) -> None:
    """By an admin, by others, or because it is pinned."""
    async with open_house(residency=SOON | {"max_models": 2, "pin": [OTHER]}) as house:
        house.simulator.load(THIRD)
        assert (await house.call("POST", "/admin/models/load", {"modelKey": LLM}))[0] == 200
        for model in (LLM, OTHER, THIRD):
            assert (await house.answer(model=model)).status == 200
        assert (await house.answer(model=EMBEDDING, path=EMBEDDINGS)).status == 200
        await house.happens(lambda ledger: ledger.unloads)
        assert house.unloads == [(EMBEDDING, "asked", 0)]
        assert {*house.in_memory} == {LLM, OTHER, THIRD}


async def test_pins_are_loaded_at_the_start(open_house: OpenHouse) -> None:
    """One after the other, without a request."""
    async with open_house(residency={"max_models": 2, "pin": [LLM, OTHER, EMBEDDING]}) as house:
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"] * 3)
        assert [model for model, _, _ in house.loads] == [LLM, OTHER, EMBEDDING]
        loads = house.ledger.loads
        assert all(one.ended_at <= then.began_at for one, then in pairwise(loads))  # type: ignore[operator]
        assert (await house.answer(model=LLM)).status == 200
        of = await house.instances()
        assert {(one["origin"], one["pinned"]) for one in of.values()} == {("loaded", True)}


async def test_pins_are_loaded_when_lm_studio_is_started_again(open_house: OpenHouse) -> None:
    """Without a request; nothing of its memory is left."""
    async with open_house(residency={"pin": [LLM]}) as house:
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
        await house.restart()
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
        assert house.loads == [(LLM, "loaded", "sdk")]


async def test_a_pin_that_others_unloaded(open_house: OpenHouse) -> None:
    """It is loaded again for the next request, and is still pinned."""
    async with open_house(residency={"pin": [LLM]}) as house:
        await house.happens(lambda ledger: [one.outcome for one in ledger.loads] == ["loaded"])
        house.simulator.memory.unload(LLM)
        assert (await house.answer(model=LLM)).status == 200
        assert len(house.loads) == 2
        assert (await house.instances())[LLM]["pinned"] is True
