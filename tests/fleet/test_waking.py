"""A machine that sleeps is woken up by what needs it."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.web.state import FLEET
from tests.fleet.conftest import OpenBoxes
from tests.fleet.packets import PACKET, Packets, sleeping
from tests.residency.house import LLM, MESSAGES, OTHER

pytestmark = pytest.mark.usefixtures("quick_greetings")
SECONDS = 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
async def test_a_request_wakes_the_machine_and_is_answered(
    open_boxes: OpenBoxes, network: Packets, stream: bool, path: str
) -> None:
    """A stream gets keep-alives meanwhile."""
    async with open_boxes("pc", box=sleeping(network), queue={"keepalive_ms": 100}) as home:
        assert (await home.answer(model=LLM)).status == 200
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        asked = home.ask(model=LLM, path=path, stream=stream)
        assert await asyncio.wait_for(network.received.get(), SECONDS) == PACKET
        await home.becomes("pc", "waking")
        if stream:
            await asked.begun()
        await home.restart_box("pc")
        answer = await asked.ended()
        assert answer.status == 200
        assert (b"[DONE]" in answer.body or b"message_stop" in answer.body) is stream
        assert answer.body.startswith((b": waiting", b"event: ping")) is stream


async def test_a_machine_that_stays_asleep_is_a_503(open_boxes: OpenBoxes, network: Packets) -> None:
    """The next request tries again."""
    async with open_boxes("pc", box=sleeping(network, wake_timeout_ms=400)) as home:
        await home.answer(model=LLM)
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        for _ in range(2):
            refused = await home.answer(model=LLM)
            assert (refused.status, refused.code) == (503, "box_asleep")
            assert 1 <= int(refused.headers["Retry-After"]) <= 30
            assert refused.headers["X-Refused-Reason"] == "box_asleep"
            assert network.received.get_nowait() == PACKET
        failed = await home.answer(model=LLM, path=MESSAGES)
        assert (failed.status, failed.json["type"]) == (503, "error")


async def test_a_stream_that_waited_in_vain_ends_with_an_error_event(
    open_boxes: OpenBoxes, network: Packets
) -> None:
    """Its head was sent with the first keep-alive."""
    box = sleeping(network, wake_timeout_ms=500)
    async with open_boxes("pc", box=box, queue={"keepalive_ms": 50}) as home:
        await home.answer(model=LLM)
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        answer = await home.stream(model=LLM).ended()
        assert (answer.status, answer.broke) == (200, True)
        assert b"box_asleep" in answer.body


async def test_an_idle_machine_that_fell_asleep_fails_no_request(
    open_boxes: OpenBoxes, network: Packets
) -> None:
    """The gateway left it alone, and thought that it was up."""
    async with open_boxes("pc", box=sleeping(network, idle_minutes=0.002)) as home:
        await home.answer(model=LLM)
        attendance = home.gateway.app[FLEET].boxes.main.known.attendance
        assert attendance is not None
        async with asyncio.timeout(SECONDS):
            while not attendance.is_resting:
                await asyncio.sleep(0.01)
        await home.studios["pc"].stop()
        asked = [home.ask(model=model) for model in (LLM, OTHER)]
        assert await asyncio.wait_for(network.received.get(), SECONDS) == PACKET
        await home.restart_box("pc")
        assert [(await one.ended()).status for one in asked] == [200, 200]


@pytest.mark.parametrize("tables", [{"queue": {"enabled": False}}, {"residency": {"enabled": False}}])
async def test_it_is_woken_without_residency_too(
    open_boxes: OpenBoxes, network: Packets, tables: dict[str, object]
) -> None:
    """Requests wait for the machine where they wait for nothing else."""
    async with open_boxes("pc", box=sleeping(network), **tables) as home:
        await home.answer(model=LLM)
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        asked = home.ask(model=LLM)
        assert await asyncio.wait_for(network.received.get(), SECONDS) == PACKET
        await home.restart_box("pc")
        assert (await asked.ended()).status == 200


async def test_nobody_is_woken_for_what_another_box_has(open_boxes: OpenBoxes, network: Packets) -> None:
    """And of two sleeping machines only one is."""
    async with open_boxes(box=sleeping(network)) as home:
        for _ in range(3):
            await home.answer(model=LLM)
        for box in "bc":
            await home.studios[box].stop()
            await home.becomes(box, "down")
        assert await home.box_of(home.ask(model=OTHER)) == "a"
        assert network.received.empty()
        await home.studios["a"].stop()
        await home.becomes("a", "down")
        asked = home.ask(model=LLM)
        waking = await home.until("box_state", state="waking")
        await home.restart_box(str(waking["box"]))
        assert await home.box_of(asked) == waking["box"]
        assert len(home.events("box_state", state="waking")) == 1


async def test_a_client_that_leaves_ends_its_wait(open_boxes: OpenBoxes, network: Packets) -> None:
    """Nobody is in line any more, and nothing is sent for it when the machine is awake."""
    async with open_boxes("pc", box=sleeping(network)) as home:
        await home.answer(model=LLM)
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        asked = home.ask(model=OTHER)
        assert await asyncio.wait_for(network.received.get(), SECONDS) == PACKET
        await asked.leave()
        await home.until("error", error="The client left before its answer was complete.")
        _, report = await home.call("GET", "/debug/queue")
        assert report["waiting"] == []
        await home.restart_box("pc")
        assert await home.box_of(home.ask(model=LLM)) == "pc"
        assert home.loaded("pc") == [LLM]


async def test_the_models_of_a_sleeping_machine_stay_listed(open_boxes: OpenBoxes, network: Packets) -> None:
    """Also after a restart of the gateway, and nothing is sent for it."""
    async with open_boxes("pc", box=sleeping(network)) as home:
        await home.answer(model=LLM)
        lists = {path: (await home.call("GET", path))[1] for path in ("/v1/models", "/api/v1/models")}
        await home.studios["pc"].stop()
        await home.becomes("pc", "down")
        for restarted in (False, True):
            if restarted:
                await home.close()
                await home.open()
            for path, before in lists.items():
                status, listed = await home.call("GET", path)
                assert status == 200
                name = "data" if path == "/v1/models" else "models"
                assert [one.get("id", one.get("key")) for one in listed[name]] == [
                    one.get("id", one.get("key")) for one in before[name]
                ]
        await home.becomes("pc", "down")
        asked = home.ask(model=OTHER)
        assert await asyncio.wait_for(network.received.get(), SECONDS) == PACKET
        await home.restart_box("pc")
        assert (await asked.ended()).status == 200
