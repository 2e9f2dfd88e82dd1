"""Models that are loaded because a request names them."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.simulator import Switches
from tests.residency.conftest import OpenHouse
from tests.residency.house import CHAT, EMBEDDING, EMBEDDINGS, LLM, MESSAGES, OTHER

ONE_LOAD = [(LLM, "loaded", "sdk")]


async def test_twenty_requests_at_once_are_one_load(open_house: OpenHouse) -> None:
    """From five keys, over several APIs. LM Studio itself would load the model twenty times."""
    async with open_house() as house:
        people = ["ann", "bob", "cem", "dan", "eve"]
        await house.know(*people)
        house.pace.stop(f"load {LLM}")
        paths = (CHAT, "/api/v0/chat/completions", MESSAGES, CHAT)
        asked = [house.ask(who, path=path) for who in people for path in paths]
        await house.pace.reached(f"load {LLM}")
        await house.until("request_queued", times=20)
        house.pace.go_on()
        assert [(await one.ended()).status for one in asked] == [200] * 20
        assert house.loads == ONE_LOAD
        assert house.unloads == []
        assert house.in_memory == [LLM]


async def test_a_load_has_no_time_to_live(open_house: OpenHouse) -> None:
    """LM Studio's own timer would unload the model, and its next just-in-time load would evict it."""
    async with open_house() as house:
        assert (await house.answer(ttl=5)).status == 200
        [instance] = house.simulator.memory.instances()
        assert (instance.ttl_seconds, instance.origin) == (None, "sdk")


async def test_the_answer_says_how_long_it_waited(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first, second = await house.answer(), await house.answer()
        assert int(first.headers["X-Queue-Wait-Ms"]) >= 0
        assert "X-Queue-Wait-Ms" not in second.headers


@pytest.mark.parametrize("jit", [True, False])
async def test_lm_studios_own_loading_is_not_needed(open_house: OpenHouse, jit: bool) -> None:
    """Without it, LM Studio's listings show only what is loaded, and it would refuse the request."""
    async with open_house(Switches(jit=jit)) as house:
        assert (await house.answer()).status == 200
        assert (await house.answer(model=EMBEDDING, path=EMBEDDINGS)).status == 200
        assert house.loads == [*ONE_LOAD, (EMBEDDING, "loaded", "sdk")]


@pytest.mark.parametrize(
    "name",
    [
        "lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        f"{LLM}@q4_k_m",
        "the good one",
        "gpt-4o",
    ],
    ids=["path", "variant", "alias", "glob"],
)
async def test_a_models_other_names_load_it(open_house: OpenHouse, name: str) -> None:
    """And are the same load as its key."""
    models = {LLM: {"aliases": ["the good one", "gpt-*"]}}
    async with open_house(models=models) as house:
        variant = {"variants": [f"{LLM}@q4_k_m"], "selectedVariant": f"{LLM}@q4_k_m"}
        described = house.simulator.catalogue.description(house.simulator.on_disk(LLM))
        house.simulator.catalogue.add({**described, **variant})
        house.pace.stop(f"load {LLM}")
        asked = [house.ask(model=name), house.ask(model=LLM)]
        await house.until("request_queued", times=2)
        house.pace.go_on()
        assert [(await one.ended()).status for one in asked] == [200, 200]
        assert house.loads == ONE_LOAD


async def test_an_unknown_name(open_house: OpenHouse) -> None:
    """404 with near names; LM Studio, which would answer it with any model it has, isn't asked."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        answer = await house.answer(model="qwen2.5-7b-instrukt")
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert LLM in answer.message
        assert (house.ledger.total.begun, house.loads) == (1, ONE_LOAD)


async def test_a_model_that_is_new_on_the_disk(open_house: OpenHouse) -> None:
    """A name that the last look doesn't have is looked up once more."""
    async with open_house() as house:
        assert (await house.answer(model="brand-new")).status == 404
        house.simulator.catalogue.add({"type": "llm", "modelKey": "brand-new"})
        assert (await house.answer(model="brand-new")).status == 200


async def test_the_profiles_settings(open_house: OpenHouse) -> None:
    """`models.KEY.load`; another model gets LM Studio's own."""
    models = {LLM: {"load": {"contextLength": 2048, "parallel": 2}}}
    async with open_house(models=models, residency={"max_models": 2}) as house:
        for model in (LLM, OTHER):
            assert (await house.answer(model=model)).status == 200
        of = {one.model.model_key: one for one in house.simulator.memory.instances()}
        assert (of[LLM].context_length, of[LLM].slots.count) == (2048, 2)
        assert (of[OTHER].context_length, of[OTHER].slots.count) == (4096, 4)


async def test_the_last_settings(open_house: OpenHouse) -> None:
    """What an admin loaded it with last is what a request loads it with."""
    async with open_house() as house:
        load = {"modelKey": LLM, "loadConfig": {"contextLength": 3000}}
        assert (await house.call("POST", "/admin/models/load", load))[0] == 200
        assert (await house.call("POST", "/admin/models/unload", {"modelKey": LLM}))[0] == 200
        assert (await house.answer(model=LLM)).status == 200
        [instance] = house.simulator.memory.instances()
        assert instance.context_length == 3000


async def test_who_leaves_during_the_load(open_house: OpenHouse) -> None:
    """The load is finished, and LM Studio never gets the request."""
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        asked = house.ask()
        await house.pace.reached(f"load {LLM}")
        await asked.leave()
        house.pace.go_on()
        await house.happens(lambda ledger: ledger.loads[0].outcome == "loaded")
        assert (await house.answer()).status == 200
        assert (house.loads, house.ledger.total.begun) == (ONE_LOAD, 1)


async def test_a_load_that_takes_too_long(open_house: OpenHouse) -> None:
    """The error says that the request waited for its model, not for a slot; the load goes on."""
    async with open_house(queue={"max_wait_plain_ms": 100}) as house:
        house.pace.stop(f"load {LLM}")
        answer = await house.answer()
        assert (answer.status, answer.code) == (429, "wait_expired")
        assert "for its model to be loaded" in answer.message
        house.pace.go_on()
        await house.happens(lambda _: house.loads == ONE_LOAD)


async def test_a_stream_that_waits_for_a_load(open_house: OpenHouse) -> None:
    """It gets keep-alives, and then LM Studio's own bytes."""
    async with open_house(queue={"keepalive_ms": 20}) as house:
        house.pace.stop(f"load {LLM}")
        asked = house.stream()
        await asked.begun()
        assert asked.answer.body.startswith(b": waiting\n\n")
        house.pace.go_on()
        answer = await asked.ended()
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert not answer.broke


async def test_an_admins_load_joins_the_one_that_runs(open_house: OpenHouse) -> None:
    """And makes it the admin's: it isn't unloaded for another model."""
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        asked = house.ask()
        await house.pace.reached(f"load {LLM}")
        loading = asyncio.create_task(house.call("POST", "/admin/models/load", {"modelKey": LLM}))
        house.pace.go_on()
        assert (await asked.ended()).status == 200
        assert (await loading)[0] == 200
        assert house.loads == ONE_LOAD
        assert (await house.answer(model=OTHER)).status == 200
        assert house.in_memory == [LLM, OTHER]


async def test_off_it_is_lm_studio_that_loads(open_house: OpenHouse) -> None:
    """As without a gateway."""
    async with open_house(residency={"enabled": False}) as house:
        assert (await house.answer()).status == 200
        assert house.loads == [(LLM, "loaded", "jit")]
