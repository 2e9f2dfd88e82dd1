"""GET /admin/boxes, and the changes below it: what an admin sees of each LM Studio, drains and wakes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmgateway.simulator import Simulator, Switches
from lmgateway.web.state import FLEET
from tests.fleet.boxes import Boxes, boxes, until
from tests.residency.house import LLM, OTHER, house
from tests.support.waiting import PATIENCE_SECONDS

MAC = "00:11:22:aa:bb:cc"
# Less than the shortest time in which LM Studio is greeted twice.
IDLE = {"idle_minutes": 0.005}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Boxes]:
    async with boxes(tmp_path, "a", "b", residency={"max_models": 2}) as home:
        yield home


@pytest.fixture
def card() -> Iterator[socket.socket]:
    """The network card that magic packets are sent to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.setblocking(False)
        card.bind(("127.0.0.1", 0))
        yield card


def sleepy(card: socket.socket, **more: object) -> dict[str, Any]:
    """The settings of a box whose machine may sleep."""
    return {"wake_mac": MAC, "wake_address": f"127.0.0.1:{card.getsockname()[1]}", **more}


async def packet(card: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(card, 1024), PATIENCE_SECONDS)


async def reports(home: Any) -> dict[str, dict[str, Any]]:
    status, answer = await home.call("GET", "/admin/boxes")
    assert (status, [*answer]) == (200, ["boxes"])
    return {one["box"]: one for one in answer["boxes"]}


async def change(home: Any, box: str, what: str) -> tuple[int, Any]:
    status, answer = await home.call("POST", f"/admin/boxes/{box}/{what}")
    return status, answer


# ── The list ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_only_box_is_listed_too(tmp_path: Path) -> None:
    """Without [boxes] there is one box, `lmstudio`."""
    async with house(tmp_path, Switches(version="0.4.7")) as home:
        [(name, report)] = (await reports(home)).items()
        assert name == "lmstudio"
        assert report.pop("latencyMs") >= 0
        assert {LLM, OTHER} <= set(report.pop("models"))
        assert report == {"box": name, "state": "up", "version": "0.4.7", "running": 0, "waiting": 0}
        await home.studio.stop()
        report = (await reports(home))["lmstudio"]
        # What was known last stays.
        assert (report["state"], report["latencyMs"], report["version"]) == ("down", None, "0.4.7")
        assert LLM in report["models"]


async def test_several_boxes_have_their_own_reports(home: Boxes) -> None:
    """In the order of the configuration."""
    await home.studios["b"].stop()
    await home.studios["b"].start(Simulator(pace=home.paces["b"], switches=Switches(version="0.3.39")))
    await home.all_known()
    found = await reports(home)
    assert [*found] == ["a", "b"]
    assert [(one["state"], one["version"]) for one in found.values()] == [("up", "0.4.0"), ("up", "0.3.39")]


async def test_what_runs_and_what_waits_for_a_load_is_counted(home: Boxes) -> None:
    """Where it runs, and where its model is loaded."""
    home.paces["a"].stop("token")
    home.paces["b"].stop(f"load {OTHER}")
    assert (await home.call("POST", "/admin/models/load", {"modelKey": LLM, "box": "a"}))[0] == 200
    running = home.stream()
    await running.begun()
    load = asyncio.create_task(home.call("POST", "/admin/models/load", {"modelKey": OTHER, "box": "b"}))
    await home.paces["b"].reached(f"load {OTHER}")
    home.ask(model=OTHER)
    await home.until("request_queued", model=OTHER)
    counts = {name: (one["running"], one["waiting"]) for name, one in (await reports(home)).items()}
    assert counts == {"a": (1, 0), "b": (0, 1)}
    home.paces["b"].go_on()
    await load


async def test_an_idle_box_is_not_asked(tmp_path: Path) -> None:
    """Left alone, so that it can sleep, it is reported as it was known last."""
    async with boxes(tmp_path, "a", "b", box=IDLE) as home:
        known = home.gateway.app[FLEET].boxes
        before = {name: (one["version"], one["models"]) for name, one in (await reports(home)).items()}
        await until(lambda: all(box.is_left_alone for box in known))
        received = [(len(one.requests), dict(one.upgrades)) for one in home.studios.values()]
        after = {name: (one["version"], one["models"]) for name, one in (await reports(home)).items()}
        assert [(len(one.requests), one.upgrades) for one in home.studios.values()] == received
        assert after == before
        assert [version for version, _ in after.values()] == ["0.4.0", "0.4.0"]


async def test_a_name_that_does_not_exist(home: Boxes) -> None:
    """It is a 404 that names those that do."""
    for what in ("drain", "resume", "wake"):
        status, answer = await change(home, "attic", what)
        assert (status, answer["error"]) == (404, "There is no box attic. The boxes: a, b.")


# ── Drains ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_drained_box_gets_no_requests_until_it_is_resumed(home: Boxes) -> None:
    """Those that another box can answer."""
    for box in ("a", "b"):
        assert (await home.call("POST", "/admin/models/load", {"modelKey": LLM, "box": box}))[0] == 200
    assert await home.box_of(home.ask()) == "a"
    status, answer = await change(home, "a", "drain")
    assert (status, answer["box"], answer["state"]) == (200, "a", "draining")
    assert "only requests that can go nowhere else" in answer["message"]
    await home.becomes("a", "draining")
    assert await home.state("a") == "draining"
    assert [await home.box_of(home.ask()) for _ in range(3)] == ["b", "b", "b"]
    assert (await change(home, "a", "drain"))[1]["state"] == "draining"
    status, answer = await change(home, "a", "resume")
    assert (status, answer["state"], answer["message"]) == (200, "up", "a gets requests.")
    assert (await change(home, "b", "drain"))[0] == 200
    assert await home.box_of(home.ask()) == "a"


async def test_the_only_box_cant_be_spared(tmp_path: Path) -> None:
    """Its requests can go nowhere else, and the answer says so."""
    async with house(tmp_path) as home:
        status, answer = await change(home, "lmstudio", "drain")
        assert (status, answer["state"]) == (200, "draining")
        assert "it is the only box" in answer["message"]
        assert (await home.answer()).status == 200
        assert (await change(home, "lmstudio", "resume"))[1]["state"] == "up"


# ── Wakes ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_box_without_a_mac_address_cant_be_woken(home: Boxes, tmp_path: Path) -> None:
    """The error names the setting, also that of the only box."""
    status, answer = await change(home, "a", "wake")
    assert status == 409
    assert "Set boxes.a.wake_mac in config.toml." in answer["error"]
    (tmp_path / "only").mkdir()
    async with house(tmp_path / "only") as only:
        status, answer = await change(only, "lmstudio", "wake")
        assert status == 409
        assert "Set lmstudio.wake_mac in config.toml." in answer["error"]


async def test_waking_one_that_is_up_says_so(card: socket.socket, tmp_path: Path) -> None:
    """Nothing is sent."""
    async with boxes(tmp_path, "a", "b", box=sleepy(card)) as home:
        await home.all_known()
        status, answer = await change(home, "a", "wake")
        assert (status, answer["state"], answer["message"]) == (200, "up", "a is up.")
        with pytest.raises(BlockingIOError):
            card.recv(1024)


async def test_a_sleeping_box_is_woken(card: socket.socket, tmp_path: Path) -> None:
    """Until LM Studio answers."""
    async with boxes(tmp_path, "a", "b", box=sleepy(card)) as home:
        await home.all_known()
        await home.studios["b"].stop()
        await home.becomes("b", "down")
        status, answer = await change(home, "b", "wake")
        assert (status, answer["state"]) == (200, "waking")
        assert "being woken up" in answer["message"]
        assert (await packet(card))[:6] == b"\xff" * 6
        assert "already" in (await change(home, "b", "wake"))[1]["message"]
        woken = await home.until("box_state", box="b", state="waking")
        assert woken["reason"] == "somebody asked for it"
        await home.studios["b"].start(Simulator(pace=home.paces["b"]))
        await home.becomes("b", "up")


async def test_a_box_that_was_left_alone_may_sleep(card: socket.socket, tmp_path: Path) -> None:
    """It counts as up, because nobody has asked it since; it gets a magic packet too."""
    async with boxes(tmp_path, "a", "b", box=sleepy(card, **IDLE)) as home:
        known = home.gateway.app[FLEET].boxes
        await until(lambda: all(box.is_left_alone for box in known))
        assert (await change(home, "b", "wake"))[1]["state"] == "waking"
        assert (await packet(card))[-6:] == bytes.fromhex("001122aabbcc")
        await home.becomes("b", "up")
