"""A machine that fell asleep, or froze, while the gateway thought that it was up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lmgateway.simulator import Simulator
from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.fleet.machines import box_of, instead, listed, rests
from tests.fleet.packets import PACKET, Packets, sleeping
from tests.residency.house import CHAT, LLM, MESSAGES, OTHER
from tests.support.gateway import running_gateway
from tests.support.stops import Stops
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("quick_time_outs")

KINDS = ("off", "frozen", "suspended")
WAYS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no line": {"queue": {"enabled": False}},
    "no residency": {"residency": {"enabled": False}},
}


async def packet(network: Packets) -> bytes:
    return await asyncio.wait_for(network.received.get(), PATIENCE_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
async def test_the_first_requests_wake_it(
    open_boxes: OpenBoxes, network: Packets, kind: str, way: str
) -> None:
    """Also that for a model which isn't in memory. None fails, and one row of packets is sent."""
    async with open_boxes("pc", box=sleeping(network, idle_minutes=0.002), **WAYS[way]) as home:
        await home.answer(model=LLM)
        await rests(home, "pc")
        async with instead(home, "pc", kind):
            asked = [
                home.ask(model=model, stream=stream) for model in (LLM, OTHER) for stream in (False, True)
            ]
            assert await packet(network) == PACKET
        assert [(await one.ended()).status for one in asked] == [200] * 4
        assert network.received.empty()
        states = [one["state"] for one in home.events("box_state")]
        assert states[states.index("down") :][:3] == ["down", "waking", "up"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["usual", "no residency"])
@pytest.mark.parametrize("model", [LLM, OTHER])
async def test_of_several_one_is_woken(
    open_boxes: OpenBoxes, network: Packets, kind: str, way: str, model: str
) -> None:
    """The other one isn't even asked, where the model is loaded by the gateway or is in memory."""
    async with open_boxes("pc", "other", box=sleeping(network, idle_minutes=0.002), **WAYS[way]) as home:
        await listed(home, "pc", "other")
        home.load("pc", LLM)
        await rests(home, "pc", "other")
        await home.studios["other"].stop()
        async with instead(home, "pc", kind):
            asked = home.ask(model=model)
            assert await packet(network) == PACKET
        await home.restart_box("other")
        assert (await asked.ended()).status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_was_sent_before_it_was_noticed_is_sent_again(
    open_boxes: OpenBoxes, network: Packets, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has just been used, so its list of models counts, and the request is sent at once."""
    async with open_boxes("pc", box=sleeping(network)) as home:
        await home.answer(model=LLM)
        # The request comes before the next regular greeting.
        monkeypatch.setattr("lmgateway.boxes.presence.UP_SECONDS", 1.0)
        await listed(home, "pc")
        assert box_of(home, "pc").catalogue.is_fresh
        async with instead(home, "pc", kind):
            asked = home.ask(model=LLM, path=MESSAGES)
            assert await packet(network) == PACKET
        assert (await asked.ended()).status == 200


async def test_a_machine_that_was_never_seen_awake_is_woken(network: Packets, tmp_path: Path) -> None:
    """Nothing is known of its models, so only it can say whether it has this one."""
    async with running_studio(Simulator(pace=Stops())) as studio:
        await studio.stop()
        tables: dict[str, object] = {
            "lmstudio": sleeping(network, base_url=studio.base_url),
            "server": {"state_dir": str(tmp_path)},
        }
        async with running_gateway(tables) as gateway:
            body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}]}
            asked = asyncio.create_task(gateway.client.post(gateway.url(CHAT), json=body))
            assert await packet(network) == PACKET
            await studio.start()
            async with await asyncio.wait_for(asked, PATIENCE_SECONDS) as response:
                assert (response.status, (await response.json())["model"]) == (200, LLM)


async def test_what_takes_no_place_in_line_wakes_it_too(open_boxes: OpenBoxes, network: Packets) -> None:
    """A GET that names no model, and a load that names the box. Counting tokens can be done without."""
    async with open_boxes("pc", box=sleeping(network, wake_timeout_ms=5_000)) as home:
        await home.answer(model=LLM)
        async with instead(home, "pc", "off"):
            await home.becomes("pc", "down")
            counted = await home.answer(model=LLM, path="/v1/messages/count_tokens")
            assert (counted.status, network.received.empty()) == (404, True)
            reading = asyncio.create_task(home.call("GET", "/api/v1/models/download/status/none"))
            assert await packet(network) == PACKET
        status, _ = await asyncio.wait_for(reading, PATIENCE_SECONDS)
        assert status == 404
        async with instead(home, "pc", "off"):
            await home.until("box_state", box="pc", state="down", times=2)
            body = {"modelKey": OTHER, "box": "pc"}
            loading = asyncio.create_task(home.call("POST", "/admin/models/load", body))
            assert await packet(network) == PACKET
        status, _ = await asyncio.wait_for(loading, PATIENCE_SECONDS)
        assert (status, home.loaded("pc")) == (200, [OTHER])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_load_on_an_idle_machine_that_fell_asleep_wakes_it(
    open_boxes: OpenBoxes, network: Packets, kind: str
) -> None:
    async with open_boxes("pc", "other", box=sleeping(network, idle_minutes=0.002)) as home:
        await listed(home, "pc", "other")
        await rests(home, "pc", "other")
        async with instead(home, "pc", kind):
            body = {"modelKey": OTHER, "box": "pc"}
            loading = asyncio.create_task(home.call("POST", "/admin/models/load", body))
            assert await packet(network) == PACKET
        status, _ = await asyncio.wait_for(loading, PATIENCE_SECONDS)
        assert (status, home.loaded("pc"), home.loaded("other")) == (200, [OTHER], [])


async def two_sleepers(home: Boxes) -> None:
    await listed(home, "a", "b")
    for box in "ab":
        await home.studios[box].stop()
        await home.becomes(box, "down")


async def test_two_machines_that_stay_asleep_end_the_wait(open_boxes: OpenBoxes, network: Packets) -> None:
    """The second is woken when the first hasn't answered in time, then it is a 503. The next begins anew."""
    async with open_boxes("a", "b", box=sleeping(network, wake_timeout_ms=300)) as home:
        await two_sleepers(home)
        for _ in range(2):
            refused = await home.answer(model=LLM)
            assert (refused.status, refused.code) == (503, "box_asleep")
        woken = [one["box"] for one in home.events("box_state", state="waking")]
        assert woken == ["a", "b", "a", "b"]


async def test_many_requests_at_once_send_one_row_of_packets(open_boxes: OpenBoxes, network: Packets) -> None:
    """Also if they are for different models, and of two machines that have them one is woken."""
    async with open_boxes("a", "b", box=sleeping(network)) as home:
        await two_sleepers(home)
        asked = [home.ask(model=model, stream=True) for model in (LLM, OTHER) for _ in range(10)]
        await home.until("request_queued", times=20)
        assert await packet(network) == PACKET
        await home.restart_box("a")
        assert [(await one.ended()).status for one in asked] == [200] * 20
        assert network.received.empty()
        assert len(home.events("box_state", state="waking")) == 1
