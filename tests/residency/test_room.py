"""Loads that find no memory, and models that are in the way."""

from __future__ import annotations

from typing import Any

import pytest

from lmgateway.simulator import Switches
from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LARGE, LLM, OTHER, SIZES, House

# One byte too few for both.
MEMORY = SIZES[LLM] + SIZES[OTHER] - 1
TWO: dict[str, Any] = {"max_models": 2}
WORDS = {True: "insufficient system resources", False: "unable to allocate CUDA0 buffer"}


def small(*, guardrail: bool = True, lag: float = 0.0) -> Switches:
    return Switches(memory_bytes=MEMORY, guardrail=guardrail, memory_lag_seconds=lag)


def refused(answer: Any) -> str:
    """Return the code of a 503 that tells when to try again."""
    assert answer.status == 503, answer.body
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.headers["X-Refused-Reason"] == answer.code
    return str(answer.code)


@pytest.mark.parametrize("guardrail", [True, False], ids=["guardrail", "engine"])
async def test_an_idle_model_makes_room(open_house: OpenHouse, guardrail: bool) -> None:
    """Though there could be two: the load is tried once more when it is gone."""
    async with open_house(small(guardrail=guardrail), residency=TWO) as house:
        assert (await house.answer(model=LLM)).status == 200
        assert (await house.answer(model=OTHER)).status == 200
        assert [(model, how) for model, how, _ in house.loads] == [
            (LLM, "loaded"),
            (OTHER, "failed"),
            (OTHER, "loaded"),
        ]
        assert house.unloads == [(LLM, "asked", 0)]


async def test_a_busy_model_is_drained_for_room(open_house: OpenHouse) -> None:
    """As for a swap: its answer isn't cut off."""
    async with open_house(small(), residency=TWO | AT_ONCE) as house:
        await house.know("ann", "bob")
        house.pace.stop("token")
        streaming = house.stream("ann", LLM)
        await streaming.begun()
        waiting = house.ask("bob", OTHER)
        await house.until("model_drain_start", modelKey=LLM)
        assert house.unloads == []
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert (await waiting.ended()).status == 200
        assert house.unloads == [(LLM, "asked", 0)]


@pytest.mark.parametrize("guardrail", [True, False], ids=["guardrail", "engine"])
async def test_there_is_not_enough_at_all(open_house: OpenHouse, guardrail: bool) -> None:
    """503 in LM Studio's words, and for the next 30 s at once, without another try."""
    async with open_house(small(guardrail=guardrail), residency=TWO) as house:
        assert (await house.answer(model=OTHER)).status == 200
        answer = await house.answer(model=LARGE)
        assert refused(answer) == "load_failed"
        assert WORDS[guardrail] in answer.message
        tries = len(house.loads)
        again = await house.answer(model=LARGE)
        assert (refused(again), WORDS[guardrail] in again.message) == ("load_failed", True)
        assert len(house.loads) == tries
        assert (await house.answer(model=OTHER)).status == 200


@pytest.mark.parametrize("who", ["outside", "loaded", "pinned"])
async def test_only_models_that_stay_are_in_the_way(open_house: OpenHouse, who: str) -> None:
    """503 at once that names them, and they stay."""
    residency = TWO | ({"pin": [LLM]} if who == "pinned" else {})
    async with open_house(small(), residency=residency) as house:
        if who == "outside":
            house.simulator.load(LLM)
        elif who == "loaded":
            assert (await house.call("POST", "/admin/models/load", {"modelKey": LLM}))[0] == 200
        await house.happens(lambda ledger: ledger.loads and ledger.loads[0].outcome == "loaded")
        assert (await house.answer(model=LLM)).status == 200
        answer = await house.answer(model=OTHER)
        assert (refused(answer), LLM in answer.message) == ("model_blocked", True)
        assert (house.in_memory, house.unloads) == ([LLM], [])


async def test_a_pin_leaves_no_room(open_house: OpenHouse) -> None:
    """There may be one model, and it is pinned: 503 at once, whether or not it has something to do."""
    async with open_house(residency={"pin": [LLM]}) as house:
        await house.happens(lambda ledger: ledger.loads and ledger.loads[0].outcome == "loaded")
        answer = await house.answer(model=OTHER)
        assert (refused(answer), LLM in answer.message) == ("model_blocked", True)
        house.pace.stop("token")
        streaming = house.stream(model=LLM)
        await streaming.begun()
        assert refused(await house.answer(model=OTHER)) == "model_blocked"
        assert [model for model, _, _ in house.loads] == [LLM]


async def others_jit_load(house: House, model: str = LLM) -> None:
    """Somebody asks LM Studio itself for a model, which it loads with its time to live."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    url = f"{house.studio.base_url}/v1/chat/completions"
    async with house.gateway.client.post(url, json=body) as response:
        assert response.status == 200, await response.text()
    assert house.loads[-1] == (model, "loaded", "jit")


async def test_what_lm_studio_loaded_for_others_makes_room(open_house: OpenHouse) -> None:
    """An idle model of others with a time to live goes when a load finds no memory, and only then."""
    async with open_house(small(), residency=TWO) as house:
        await others_jit_load(house)
        assert (await house.answer(model=OTHER)).status == 200
        assert house.unloads == [(LLM, "asked", 0)]
        assert house.in_memory == [OTHER]


async def test_what_others_use_is_not_taken_away(open_house: OpenHouse) -> None:
    """A model with a time to live on which others generate."""
    async with open_house(small(), residency=TWO) as house:
        await others_jit_load(house)
        house.pace.stop("token")
        body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        url = f"{house.studio.base_url}/v1/chat/completions"
        async with house.gateway.client.post(url, json=body) as response:
            await response.content.readany()
            asked = house.ask(model=OTHER)
            await house.happens(lambda ledger: ledger.loads[-1].outcome == "failed")
            assert house.unloads == []
            house.pace.go_on()
            assert (await response.read()).endswith(b"[DONE]\n\n")
        answer = await asked.ended()
        assert answer.status == 200 or refused(answer) in {"model_blocked", "load_failed"}
        assert {busy for _, _, busy in house.unloads} <= {0}


@pytest.mark.parametrize("max_models", [1, 2])
async def test_memory_that_comes_back_late(open_house: OpenHouse, max_models: int) -> None:
    """A model that is on no list any more may have its memory for another half a second."""
    async with open_house(small(lag=0.5), residency={"max_models": max_models}) as house:
        for model in (LLM, OTHER):
            assert (await house.answer(model=model)).status == 200
        assert house.unloads == [(LLM, "asked", 0)]


async def test_memory_that_never_comes_back(open_house: OpenHouse) -> None:
    """The waiter is told so in LM Studio's words."""
    async with open_house(small(lag=1.0), residency=TWO) as house:
        assert (await house.answer(model=LLM)).status == 200
        house.pace.stop("free")
        answer = await house.answer(model=OTHER)
        assert refused(answer) == "load_failed"
        assert WORDS[True] in answer.message
        assert house.unloads == [(LLM, "asked", 0)]
