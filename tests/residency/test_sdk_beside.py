"""LM Studio's own SDK beside the gateway, as its window or a program on its machine uses it."""

from __future__ import annotations

import asyncio

import lmstudio
import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER, House


def sdk(house: House) -> lmstudio.AsyncClient:
    return lmstudio.AsyncClient(house.studio.base_url.removeprefix("http://"))


async def test_what_it_loads_is_served_and_left_alone(open_house: OpenHouse) -> None:
    """Under its own identifier, and by the model's key. Requests for another model unload none of it."""
    async with open_house(residency=AT_ONCE) as house, sdk(house) as client:
        await client.llm.load_new_instance(LLM, "mine")
        for name in ("mine", LLM, OTHER):
            assert (await house.answer(model=name)).status == 200
        assert {one.identifier for one in await client.llm.list_loaded()} == {"mine", OTHER}
        assert house.unloads == []


async def test_its_prediction_is_not_cut_off(open_house: OpenHouse) -> None:
    """It runs on a model that the gateway loaded, and is about to unload for another one."""
    async with open_house(residency=AT_ONCE) as house, sdk(house) as client:
        assert (await house.answer(model=LLM)).status == 200
        house.pace.stop("token")
        model = await client.llm.model(LLM)
        predicting = asyncio.create_task(model.respond("Hello"))
        await house.pace.reached("token")
        waiting = house.ask(model=OTHER)
        await house.until("request_queued", model=OTHER)
        while (await house.instances())[LLM]["outside"] != 1:  # LM Studio was asked, and counts it
            await asyncio.sleep(0)
        assert house.unloads == []
        house.pace.go_on()
        assert (await predicting).content
        assert (await waiting.ended()).status == 200
        assert house.unloads == [(LLM, "asked", 0)]


async def test_what_it_unloads_is_loaded_again(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next request that looks what is in memory, once."""
    monkeypatch.setattr("lmgateway.boxes.catalogue.FRESH_SECONDS", 0.0)
    async with open_house() as house, sdk(house) as client:
        assert (await house.answer(model=LLM)).status == 200
        await client.llm.unload(LLM)
        for _ in range(2):
            assert (await house.answer(model=LLM)).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")] * 2
