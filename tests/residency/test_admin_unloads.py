"""An admin's unloads: they wait for running answers, and what becomes of those who leave or force."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmgateway.web.state import SCHEDULER
from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, LLM, OTHER, Asked, House
from tests.support.waiting import PATIENCE_SECONDS

UNLOAD = "/admin/models/unload"
Result = tuple[int, Any]


def unload(house: House, model: str = LLM, **more: object) -> asyncio.Task[Result]:
    return asyncio.create_task(house.call("POST", UNLOAD, {"modelKey": model, **more}))


async def soon(work: asyncio.Task[Result]) -> Result:
    return await asyncio.wait_for(work, PATIENCE_SECONDS)


async def generating(house: House, who: str = "owner", model: str = LLM) -> Asked:
    """A stream that stands still after its first token."""
    house.pace.stop("token")
    asked = house.stream(who, model)
    await asked.begun()
    return asked


async def state(house: House, name: str = LLM) -> str:
    return str((await house.instances())[name]["state"])


async def test_it_waits_for_running_answers(open_house: OpenHouse) -> None:
    """The answer is complete; a new request waits, and has the model loaded again."""
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        started = await house.until("model_drain_start", modelKey=LLM)
        assert (started["running"], await state(house)) == (1, "draining")
        later = house.ask()
        await house.until("request_queued", times=2)
        assert (house.unloads, unloading.done()) == ([], False)
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        status, answer = await soon(unloading)
        assert (status, answer["status"]) == (200, "unloaded")
        assert (await later.ended()).status == 200
        assert house.unloads == [(LLM, "asked", 0)]
        assert house.loads == [(LLM, "loaded", "sdk")] * 2


async def test_an_idle_one_goes_at_once(open_house: OpenHouse) -> None:
    """With one pair of events, and no drain."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        assert (await soon(unload(house, drainSeconds=0)))[0] == 200
        await house.until("model_unload_complete", modelKey=LLM, instanceId=LLM)
        names = [name for name, _ in house.seen if "unload" in name or "drain" in name]
        assert names == ["model_unload_start", "model_unload_complete"]
        assert house.in_memory == []


@pytest.mark.parametrize(
    ("running", "sentence"), [(1, "1 request still runs"), (2, "2 requests still run")], ids=["one", "two"]
)
@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_it_gives_up_in_time(
    open_house: OpenHouse, running: int, sentence: str, seconds: float
) -> None:
    """409 that says how many requests run; the model gets requests again, and nothing was cut off."""
    async with open_house() as house:
        streaming = [await generating(house)]
        streaming += [house.stream() for _ in range(running - 1)]
        for asked in streaming:
            await asked.begun()
        status, answer = await soon(unload(house, drainSeconds=seconds))
        assert status == 409
        after = f" after {seconds:g} s" if seconds else ""
        assert answer["error"].startswith(f"{sentence} on {LLM}{after}, so it stays in memory.")
        assert await state(house) == "resident"
        house.pace.go_on()
        for asked in [*streaming, house.ask()]:
            assert (await asked.ended()).status == 200
        assert (house.unloads, len(house.loads)) == ([], 1)
        assert house.events("error") == []


async def test_force_cuts(open_house: OpenHouse) -> None:
    """Also one that another admin lets drain, who gets 200 as well."""
    async with open_house() as house:
        streaming = await generating(house)
        patient = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        assert (await soon(unload(house, force=True)))[0] == 200
        assert (await soon(patient))[0] == 200
        house.pace.go_on()
        assert not (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert house.unloads == [(LLM, "asked", 1)]


async def test_who_leaves_takes_it_back(open_house: OpenHouse) -> None:
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        unloading.cancel()
        await house.until("model_drain_end", modelKey=LLM, outcome="revoked")
        assert await state(house) == "resident"
        house.pace.go_on()
        for asked in (streaming, house.ask()):
            assert (await asked.ended()).status == 200
        assert house.unloads == []


async def test_who_leaves_takes_back_nothing_of_others(open_house: OpenHouse) -> None:
    """Of two who wait, one leaves and one is out of patience: a third one still waits."""
    async with open_house() as house:
        streaming = await generating(house)
        leaving, staying = unload(house), unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        assert (await soon(unload(house, drainSeconds=0)))[0] == 409
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await state(house) == "draining"
        house.pace.go_on()
        assert (await soon(staying))[0] == 200
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")


async def test_who_leaves_while_it_is_unloaded(open_house: OpenHouse) -> None:
    """Then it is completed: the model is active no more."""
    async with open_house() as house:
        assert (await house.call("POST", "/admin/models/load", {"modelKey": LLM}))[0] == 200
        house.pace.stop("unload")
        unloading = unload(house)
        await house.pace.reached("unload")
        unloading.cancel()
        await asyncio.gather(unloading, return_exceptions=True)
        house.pace.go_on()
        await house.until("model_unload_complete", modelKey=LLM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await house.call("GET", "/admin/models/active"))[1]["activeModel"] is not None:
                pass


async def test_a_load_takes_an_unload_back(open_house: OpenHouse) -> None:
    """The later wish counts: the model stays, and who wanted it unloaded gets 409."""
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        assert (await house.call("POST", "/admin/models/load", {"modelKey": LLM}))[0] == 200
        status, answer = await soon(unloading)
        assert (status, answer["error"]) == (
            409,
            f"{LLM} stays in memory: somebody has loaded it again while it drained.",
        )
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert house.in_memory == [LLM]


async def test_two_instances_drain_at_the_same_time(open_house: OpenHouse) -> None:
    """And are both unloaded, each as soon as it is free."""
    models = {LLM: {"slots": 1}}
    async with open_house(models=models) as house:
        house.simulator.load(LLM, "first")
        house.simulator.load(LLM, "second")
        house.pace.stop("token")
        streaming = [house.stream(model=name) for name in ("first", "second")]
        for asked in streaming:
            await asked.begun()
        unloading = unload(house)
        for name in ("first", "second"):
            await house.until("model_drain_start", instanceId=name)
        house.pace.go_on()
        status, answer = await soon(unloading)
        assert (status, answer["message"]) == (200, "Unloaded first, second.")
        for asked in streaming:
            assert (await asked.ended()).body.endswith(b"[DONE]\n\n")


async def test_one_of_two_stays_busy(open_house: OpenHouse) -> None:
    """The other one is unloaded at once, and the 409 says what became of both."""
    async with open_house(models={LLM: {"slots": 1}}) as house:
        house.simulator.load(LLM, "first")
        house.simulator.load(LLM, "second")
        house.pace.stop("token")
        streaming = house.stream(model="first")
        await streaming.begun()
        status, answer = await soon(unload(house, drainSeconds=0))
        assert status == 409
        assert answer["error"].startswith("1 request still runs on first, so it stays in memory.")
        assert answer["error"].endswith(" Unloaded second.")
        assert house.in_memory == ["first"]
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")


async def test_what_others_run_is_waited_for(open_house: OpenHouse) -> None:
    """LM Studio counts it; the gateway doesn't know of it before."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        house.pace.stop("token")
        body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        url = f"{house.studio.base_url}/v1/chat/completions"
        async with house.gateway.client.post(url, json=body) as response:
            await response.content.readany()
            status, answer = await soon(unload(house, drainSeconds=0))
            assert (status, answer["error"].startswith("1 request still runs")) == (409, True)
            unloading = unload(house)
            await house.until("model_drain_start", modelKey=LLM, times=2)
            house.pace.go_on()
            assert (await response.read()).endswith(b"[DONE]\n\n")
        assert (await soon(unloading))[0] == 200
        assert house.unloads == [(LLM, "asked", 0)]


async def test_somebody_else_unloads_it_meanwhile(open_house: OpenHouse) -> None:
    """A click in LM Studio's window ends the wait: it is unloaded."""
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        house.simulator.memory.unload(LLM)
        assert (await house.answer(model="no such model")).status == 404  # which has the list renewed
        assert (await soon(unloading))[0] == 200
        house.pace.go_on()
        await streaming.ended()


async def test_an_unload_of_what_drains_for_a_swap(open_house: OpenHouse) -> None:
    """It joins; if nobody waits for the other model any more, it goes on for the admin."""
    async with open_house(residency=AT_ONCE) as house:
        await house.know("ann", "bob")
        assert (await house.answer("ann")).status == 200
        streaming = await generating(house, "ann")
        waiting = house.ask("bob", OTHER)
        await house.until("model_drain_start", modelKey=LLM)
        unloading = unload(house)
        assert (await soon(unload(house, drainSeconds=0)))[0] == 409
        await waiting.leave()
        assert await state(house) == "draining"
        house.pace.go_on()
        assert (await soon(unloading))[0] == 200
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert house.in_memory == []


async def test_what_was_unloaded_is_active_no_more(open_house: OpenHouse) -> None:
    """For an admin; what the gateway unloads for another model stays active, and is loaded again."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        activate = {"modelKey": LLM}
        assert (await house.call("POST", "/admin/models/activate", activate))[0] == 200
        assert (await house.answer(model=OTHER)).status == 200
        assert house.in_memory == [OTHER]
        _, active = await house.call("GET", "/admin/models/active")
        assert active["activeModel"]["modelKey"] == LLM
        assert (await house.answer(model=None)).status == 200
        assert house.in_memory == [LLM]
        assert (await soon(unload(house)))[0] == 200
        _, active = await house.call("GET", "/admin/models/active")
        assert active["activeModel"] is None


async def test_it_waits_without_residency_too(open_house: OpenHouse) -> None:
    """The line knows what runs."""
    async with open_house(residency={"enabled": False}) as house:
        streaming = await generating(house)
        assert (await soon(unload(house, drainSeconds=0)))[0] == 409
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM, times=1)
        house.pace.go_on()
        assert (await soon(unloading))[0] == 200
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert (await house.answer()).status == 200


async def test_the_gateway_stops_meanwhile(open_house: OpenHouse) -> None:
    """503 at once, and LM Studio keeps the model."""
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        house.gateway.app[SCHEDULER].end_waiting()
        status, answer = await soon(unloading)
        assert (status, answer["error"]) == (
            503,
            "The gateway is stopping. Try again when it has started again.",
        )
        assert await state(house) == "resident"
        house.pace.go_on()
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")
        assert house.in_memory == [LLM]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"drainSeconds": -1}, "drainSeconds"),
        ({"drainSeconds": "1"}, "drainSeconds"),
        ({"force": 1}, "force"),
    ],
)
async def test_a_bad_body(open_house: OpenHouse, more: dict[str, object], path: str) -> None:
    async with open_house() as house:
        status, answer = await house.call("POST", UNLOAD, {"modelKey": LLM, **more})
        assert (status, [one["path"] for one in answer["details"]]) == (400, [path])
        for other in ("load", "load/cancel"):
            body = {"modelKey": LLM, "force": True}
            assert (await house.call("POST", f"/admin/models/{other}", body))[0] == 400


@pytest.mark.usefixtures("eager")
async def test_lm_studio_is_killed_meanwhile(open_house: OpenHouse) -> None:
    """The wait ends, in whatever way; later requests are served."""
    async with open_house() as house:
        streaming = await generating(house)
        unloading = unload(house)
        await house.until("model_drain_start", modelKey=LLM)
        await house.studio.stop()
        house.pace.go_on()
        await streaming.ended()
        assert (await soon(unloading))[0] in {200, 503}
        await house.restart()
        assert (await house.answer()).status == 200
