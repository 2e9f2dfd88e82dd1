"""An admin's loads, beside those that requests cause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from lmgateway.simulator import Switches
from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER, SIZES, House
from tests.support.waiting import PATIENCE_SECONDS

LOAD, CANCEL = "/admin/models/load", "/admin/models/load/cancel"
ONE_LOAD = [(LLM, "loaded", "sdk")]
PATH = "lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf"


def load(house: House, model: str = LLM, **more: object) -> asyncio.Task[tuple[int, Any]]:
    return asyncio.create_task(house.call("POST", LOAD, {"modelKey": model, **more}))


async def soon(work: Awaitable[tuple[int, Any]]) -> tuple[int, Any]:
    return await asyncio.wait_for(work, PATIENCE_SECONDS)


async def origins(house: House) -> dict[str, str]:
    return {name: one["origin"] for name, one in (await house.instances()).items()}


@pytest.mark.parametrize("first", ["request", "admin"])
@pytest.mark.parametrize("name", [LLM, PATH, "alias"])
async def test_one_load_for_both(open_house: OpenHouse, first: str, name: str) -> None:
    """Whoever comes first, and by whatever name: the model is loaded once, and is the admin's."""
    async with open_house(models={LLM: {"aliases": ["alias"]}}) as house:
        house.pace.stop(f"load {LLM}")
        if first == "request":
            asked = house.ask()
            await house.pace.reached(f"load {LLM}")
            loading = load(house, name)
            await house.until("model_load_start")
        else:
            loading = load(house, name)
            await house.pace.reached(f"load {LLM}")
            asked = house.ask()
            await house.until("request_queued")
        house.pace.go_on()
        status, answer = await soon(loading)
        assert (status, answer["status"], answer["identifier"]) == (200, "loaded", LLM)
        assert (await asked.ended()).status == 200
        assert house.loads == ONE_LOAD
        assert await origins(house) == {LLM: "loaded"}


async def test_twenty_at_once_of_both_kinds(open_house: OpenHouse) -> None:
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        loading = [load(house) for _ in range(10)]
        asked = [house.ask() for _ in range(10)]
        await house.until("request_queued", times=10)
        house.pace.go_on()
        assert [(await soon(one))[0] for one in loading] == [200] * 10
        assert [(await one.ended()).status for one in asked] == [200] * 10
        assert house.loads == ONE_LOAD
        assert await origins(house) == {LLM: "loaded"}


async def test_a_resident_one_becomes_the_admins(open_house: OpenHouse) -> None:
    """It isn't loaded again, and stays when another model is needed, also over a restart."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        assert await origins(house) == {LLM: "on-demand"}
        status, answer = await house.call("POST", LOAD, {"modelKey": LLM})
        assert status == 200
        assert answer["message"].startswith(f"{LLM} is loaded already and is now the active model.")
        assert await origins(house) == {LLM: "loaded"}
        await house.close()
        await house.open()
        assert (await house.answer(model=OTHER)).status == 200
        assert (house.in_memory, house.unloads) == ([LLM, OTHER], [])


async def test_what_others_loaded_stays_theirs(open_house: OpenHouse) -> None:
    async with open_house() as house:
        house.simulator.load(LLM)
        assert (await house.call("POST", LOAD, {"modelKey": LLM}))[0] == 200
        assert (await origins(house), len(house.loads)) == ({LLM: "outside"}, 1)


async def test_other_settings_claim_nothing(open_house: OpenHouse) -> None:
    """409, and the model is still one that was loaded for requests."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        settings = {"loadConfig": {"contextLength": 2048}}
        assert (await house.call("POST", LOAD, {"modelKey": LLM, **settings}))[0] == 409
        assert await origins(house) == {LLM: "on-demand"}
        assert (await house.answer(model=OTHER)).status == 200
        assert house.in_memory == [OTHER]


async def test_a_load_takes_a_swaps_drain_back(open_house: OpenHouse) -> None:
    """The model that drained for another one is the admin's now; the other one is loaded beside it."""
    async with open_house(residency=AT_ONCE) as house:
        await house.know("ann", "bob")
        assert (await house.answer("ann")).status == 200
        house.pace.stop("token")
        streaming = house.stream("ann")
        await streaming.begun()
        waiting = house.ask("bob", OTHER)
        await house.until("model_drain_start", modelKey=LLM)
        status, answer = await house.call("POST", LOAD, {"modelKey": LLM})
        assert (status, answer["identifier"]) == (200, LLM)
        await house.until("model_drain_end", modelKey=LLM, outcome="revoked")
        house.pace.go_on()
        for asked in (streaming, waiting):
            assert (await asked.ended()).status == 200
        assert (house.in_memory, house.unloads) == ([LLM, OTHER], [])


async def test_a_load_waits_for_the_unload_before_it(open_house: OpenHouse) -> None:
    """LM Studio still lists the model while it unloads it: the answer isn't an instance that is gone then."""
    async with open_house(Switches(unload_seconds=0.3)) as house:
        assert (await house.answer()).status == 200
        waiting = house.ask(model=OTHER)
        await house.until("model_unload_start", modelKey=LLM)
        status, answer = await house.call("POST", LOAD, {"modelKey": LLM})
        assert (status, answer["identifier"]) == (200, LLM)
        assert (await waiting.ended()).status == 200
        assert LLM in house.in_memory
        assert [model for model, _, _ in house.unloads] == [LLM]


async def test_cancelling_a_load_for_requests(open_house: OpenHouse) -> None:
    """Those who wait for it get 409, and the next request loads it anew."""
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        asked = [house.ask() for _ in range(3)]
        await house.until("request_queued", times=3)
        await house.pace.reached(f"load {LLM}")
        status, answer = await house.call("POST", CANCEL, {"modelKey": LLM})
        assert (status, answer["status"]) == (200, "cancelled")
        for one in asked:
            ended = await one.ended()
            assert (ended.status, ended.code) == (409, "load_cancelled")
        house.pace.go_on()
        assert (await house.answer()).status == 200
        assert [outcome for _, outcome, _ in house.loads] == ["cancelled", "loaded"]


async def test_cancelling_a_load_of_both(open_house: OpenHouse) -> None:
    """The admin who waits for it gets 409, too."""
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        loading = load(house)
        await house.pace.reached(f"load {LLM}")
        asked = house.ask()
        await house.until("request_queued")
        assert (await house.call("POST", CANCEL, {"modelKey": LLM}))[0] == 200
        assert (await soon(loading))[0] == 409
        ended = await asked.ended()
        assert (ended.status, ended.code) == (409, "load_cancelled")


MEMORY = SIZES[LLM] + SIZES[OTHER] - 1


@pytest.mark.parametrize("ttl", [False, True], ids=["on demand", "of others, with a time to live"])
async def test_an_idle_model_makes_room(open_house: OpenHouse, ttl: bool) -> None:
    """The load finds no memory, the idle model goes, and the load is tried once more."""
    switches = Switches(memory_bytes=MEMORY)
    async with open_house(switches, residency={"max_models": 2}) as house:
        if ttl:
            house.simulator.load(LLM, ttl_seconds=3600)
        else:
            assert (await house.answer()).status == 200
        assert (await house.call("POST", LOAD, {"modelKey": OTHER}))[0] == 200
        assert [(model, outcome) for model, outcome, _ in house.loads] == [
            (LLM, "loaded"),
            (OTHER, "failed"),
            (OTHER, "loaded"),
        ]
        assert (house.in_memory, house.unloads) == ([OTHER], [(LLM, "asked", 0)])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("by", ["the gateway", "an admin"])
async def test_memory_that_comes_back_late(open_house: OpenHouse, by: str) -> None:
    """A model that is on no list any more may have its memory for another half a second."""
    switches = Switches(memory_bytes=MEMORY, memory_lag_seconds=0.5)
    async with open_house(switches, residency={"max_models": 2}) as house:
        assert (await house.answer()).status == 200
        if by == "an admin":
            assert (await house.call("POST", "/admin/models/unload", {"modelKey": LLM}))[0] == 200
        assert (await house.call("POST", LOAD, {"modelKey": OTHER}))[0] == 200
        assert house.in_memory == [OTHER]


async def test_a_busy_model_makes_no_room(open_house: OpenHouse) -> None:
    """500 in LM Studio's words; nothing is cut off."""
    async with open_house(Switches(memory_bytes=MEMORY), residency={"max_models": 2}) as house:
        house.pace.stop("token")
        streaming = house.stream()
        await streaming.begun()
        status, answer = await house.call("POST", LOAD, {"modelKey": OTHER})
        assert (status, "insufficient system resources" in answer["error"]) == (500, True)
        assert house.unloads == []
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")


@pytest.mark.parametrize(("settings", "status"), [({"contextLength": 8192}, 200), (None, 503)])
async def test_a_failed_load_with_settings_says_nothing_of_requests(
    open_house: OpenHouse, settings: dict[str, object] | None, status: int
) -> None:
    """Their load has other ones. One that failed with its usual settings isn't tried again at once."""
    async with open_house() as house:
        house.simulator.load_faults.fail(LLM, times=1)
        load = {"modelKey": LLM, "loadConfig": settings}
        assert (await house.call("POST", LOAD, load))[0] == 500
        assert (await house.answer()).status == status
