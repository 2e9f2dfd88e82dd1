"""The models of several boxes over /admin/models: where a load goes, what an unload reaches, the list."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lmgateway.simulator import Simulator
from lmgateway.web.state import FLEET
from tests.fleet.boxes import Boxes, boxes, until
from tests.residency.house import LLM, OTHER, SIZES, THIRD, house
from tests.support.gateway import running_gateway
from tests.support.waiting import PATIENCE_SECONDS

# A model that only the box b has on its disk.
RARE = "rare-3b"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Boxes]:
    async with boxes(tmp_path, "a", "b", residency={"max_models": 2}) as home:
        home.studios["b"].simulator.catalogue.add({"modelKey": RARE, "sizeBytes": 3_000_000})
        yield home


async def post(home: Any, what: str, model: str, **fields: object) -> tuple[int, Any]:
    status, answer = await home.call("POST", f"/admin/models/{what}", {"modelKey": model, **fields})
    return status, answer


async def listed(home: Any) -> tuple[set[tuple[str, str]], dict[str, list[str]]]:
    """The instances with their boxes, and the boxes of each model on disk."""
    status, answer = await home.call("GET", "/admin/models")
    assert status == 200, answer
    loaded = {(one["identifier"], one["box"]) for one in answer["loaded"]}
    return loaded, {one["modelKey"]: one["boxes"] for one in answer["downloaded"]}


# ── The list ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_list_is_the_union(home: Boxes) -> None:
    """Of each loaded model the listings tell `box`, of each on disk `boxes`."""
    for box, model in (("a", LLM), ("b", LLM), ("b", OTHER)):
        assert (await post(home, "load", model, box=box))[0] == 200
    loaded, disk = await listed(home)
    assert loaded == {(LLM, "a"), (LLM, "b"), (OTHER, "b")}
    assert (disk[LLM], disk[RARE]) == (["a", "b"], ["b"])


async def test_the_only_box_is_named(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        status, answer = await post(home, "load", LLM)
        assert (status, answer["box"]) == (200, "lmstudio")
        assert answer["message"] == f"{LLM} is loaded and is now the active model."
        loaded, disk = await listed(home)
        assert (loaded, disk[LLM]) == ({(LLM, "lmstudio")}, ["lmstudio"])
        assert (await post(home, "unload", LLM, box="attic"))[0] == 404


async def test_a_box_that_is_down_hides_no_other(home: Boxes) -> None:
    """What it has on disk stays listed; its memory isn't known."""
    for box in ("a", "b"):
        assert (await post(home, "load", LLM, box=box))[0] == 200
    await listed(home)
    await home.studios["b"].stop()
    assert (LLM, "a") in (await listed(home))[0]  # also before it is known to be down
    await home.becomes("b", "down")
    loaded, disk = await listed(home)
    assert loaded == {(LLM, "a")}
    assert (disk[LLM], disk[RARE]) == (["a", "b"], ["b"])


async def test_idle_boxes_are_listed_without_being_asked(tmp_path: Path) -> None:
    """Listings are answered from what was last known."""
    async with boxes(tmp_path, "a", "b", box={"idle_minutes": 0.005}) as home:
        assert (await post(home, "load", LLM, box="b"))[0] == 200
        before = await listed(home)
        await until(lambda: all(box.is_left_alone for box in home.gateway.app[FLEET].boxes))
        received = [(len(one.requests), dict(one.upgrades)) for one in home.studios.values()]
        assert await listed(home) == before
        assert before[0] == {(LLM, "b")}
        assert [(len(one.requests), one.upgrades) for one in home.studios.values()] == received


async def test_it_is_503_only_if_nothing_is_known(tmp_path: Path) -> None:
    with socket.socket() as taken, socket.socket() as other:
        tables: dict[str, Any] = {"boxes": {}, "server": {"state_dir": str(tmp_path)}}
        for name, one in (("a", taken), ("b", other)):
            one.bind(("127.0.0.1", 0))  # bound and not listening: refused
            tables["boxes"][name] = {"base_url": f"http://127.0.0.1:{one.getsockname()[1]}"}
        async with (
            running_gateway(tables) as gateway,
            gateway.client.get(gateway.url("/admin/models")) as response,
        ):
            assert response.status == 503


async def test_the_models_of_a_sleeping_box_are_listed_after_a_restart(tmp_path: Path) -> None:
    """Its last known models stay listed, over restarts too."""
    async with boxes(tmp_path, "a", "b") as home:
        await home.all_known()
        await home.close()
        await home.studios["b"].stop()
        await home.open()
        await home.becomes("b", "down")
        _, answer = await home.call("GET", "/admin/models")
        known = {one["modelKey"]: one for one in answer["downloaded"]}
        assert known[LLM]["boxes"] == ["a", "b"]
        await home.studios["a"].stop()
        await home.becomes("a", "down")
        _, answer = await home.call("GET", "/admin/models")
        known = {one["modelKey"]: one for one in answer["downloaded"]}
        assert (known[LLM]["size"], known[LLM]["type"], known[LLM]["boxes"]) == (
            SIZES[LLM],
            "llm",
            ["a", "b"],
        )
        assert answer["loaded"] == []


# ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_load_names_its_box(home: Boxes) -> None:
    """The answer says where the model is."""
    status, answer = await post(home, "load", LLM, box="b")
    assert (status, answer["box"], home.loaded("a"), home.loaded("b")) == (200, "b", [], [LLM])
    assert answer["message"] == f"{LLM} is loaded on b and is now the active model."


@pytest.mark.parametrize("what", ["load", "unload", "load/cancel"])
async def test_a_box_that_does_not_exist(what: str, home: Boxes) -> None:
    """It is a 404 that names those that do."""
    status, answer = await post(home, what, LLM, box="attic")
    assert (status, answer["error"]) == (404, "There is no box attic. The boxes: a, b.")


async def test_a_load_goes_to_the_box_that_has_the_model(home: Boxes) -> None:
    """In its memory: that instance is the answer. Else on its disk."""
    assert (await post(home, "load", LLM, box="b"))[0] == 200
    status, answer = await post(home, "load", LLM)
    assert (status, answer["box"], home.loaded("a")) == (200, "b", [])
    assert "is loaded on b already" in answer["message"]
    status, answer = await post(home, "load", RARE)
    assert (status, answer["box"]) == (200, "b")


async def test_a_load_goes_where_there_is_room(home: Boxes) -> None:
    """A box with room to load beside comes before one that must unload."""
    assert (await home.call("POST", "/admin/boxes/b/drain"))[0] == 200
    for model in (LLM, OTHER):
        assert (await home.answer(model=model)).status == 200
    assert (await home.call("POST", "/admin/boxes/b/resume"))[0] == 200
    assert (home.loaded("a"), home.loaded("b")) == ([LLM, OTHER], [])
    status, answer = await post(home, "load", THIRD)
    assert (status, answer["box"], home.loaded("a")) == (200, "b", [LLM, OTHER])


async def test_an_unknown_model_gets_the_nearest_names_of_all_boxes(home: Boxes) -> None:
    status, answer = await post(home, "load", "rare-3c")
    assert (status, answer["details"]["near"][0]) == (404, RARE)


async def test_a_model_that_only_a_drained_box_has(home: Boxes) -> None:
    """It isn't looked for on another box."""
    await home.all_known()
    await home.call("GET", "/admin/models")
    assert (await home.call("POST", "/admin/boxes/b/drain"))[0] == 200
    status, answer = await post(home, "load", RARE)
    assert status == 503
    assert f"No LM Studio that has {RARE} answers and takes requests now." in answer["error"]
    assert (await post(home, "load", RARE, box="b"))[0] == 200


async def test_a_load_wakes_the_machine_that_it_needs(tmp_path: Path) -> None:
    """And waits for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.setblocking(False)
        card.bind(("127.0.0.1", 0))
        box = {"wake_mac": "00:11:22:aa:bb:cc", "wake_address": f"127.0.0.1:{card.getsockname()[1]}"}
        async with boxes(tmp_path, "a", "b", box=box) as home:
            await home.all_known()
            await home.studios["b"].stop()
            await home.becomes("b", "down")
            load = asyncio.create_task(post(home, "load", LLM, box="b"))
            packet = asyncio.get_running_loop().sock_recv(card, 1024)
            assert len(await asyncio.wait_for(packet, PATIENCE_SECONDS)) == 102
            await home.studios["b"].start(Simulator(pace=home.paces["b"]))
            status, answer = await load
            assert (status, answer["box"], home.loaded("b")) == (200, "b", [LLM])


async def test_a_machine_that_does_not_wake_up(tmp_path: Path) -> None:
    """After wake_timeout_ms it is a 503 `box_asleep`, here for a load."""
    box = {"wake_mac": "00:11:22:aa:bb:cc", "wake_address": "127.0.0.1:9", "wake_timeout_ms": 200}
    async with boxes(tmp_path, "a", "b", box=box) as home:
        await home.all_known()
        await home.studios["b"].stop()
        await home.becomes("b", "down")
        status, answer = await post(home, "load", LLM, box="b")
        assert status == 503
        assert "The machine of the LM Studio b didn't wake up in time." in answer["error"]


async def test_a_load_is_cancelled_wherever_it_is(home: Boxes) -> None:
    """Nobody has to know on which box."""
    home.paces["b"].stop(f"load {LLM}")
    load = asyncio.create_task(post(home, "load", LLM, box="b"))
    await home.paces["b"].reached(f"load {LLM}")
    assert (await post(home, "load/cancel", LLM, box="a"))[0] == 404
    assert (await post(home, "load/cancel", LLM))[0] == 200
    assert (await load)[0] == 409
    assert (await post(home, "load/cancel", LLM))[0] == 404


# ── Unloads ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unload_reaches_all_boxes(home: Boxes) -> None:
    """An unload without a box is to all of them."""
    for box in ("a", "b"):
        assert (await post(home, "load", LLM, box=box))[0] == 200
    status, answer = await post(home, "unload", LLM)
    assert (status, home.loaded("a"), home.loaded("b")) == (200, [], [])
    assert answer["message"].startswith(f"Unloaded {LLM} on a, {LLM} on b. No model is active any more")
    assert (await post(home, "unload", LLM))[0] == 404


async def test_an_unload_of_one_box_leaves_the_model_active(home: Boxes) -> None:
    """Another box still has it."""
    for box in ("a", "b"):
        assert (await post(home, "load", LLM, box=box))[0] == 200
    status, answer = await post(home, "unload", LLM, box="a")
    assert (status, answer["message"]) == (200, f"Unloaded {LLM} on a.")
    assert (home.loaded("a"), home.loaded("b")) == ([], [LLM])
    assert (await home.call("GET", "/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM
    assert (await post(home, "unload", LLM, box="b"))[0] == 200
    assert (await home.call("GET", "/admin/models/active"))[1]["activeModel"] is None


async def test_one_box_that_fails_hides_no_unload(home: Boxes) -> None:
    """The error says which failed, and what was unloaded all the same."""
    for box in ("a", "b"):
        assert (await post(home, "load", LLM, box=box))[0] == 200
    home.studios["b"].door.close("sdk")
    status, answer = await post(home, "unload", LLM)
    home.studios["b"].door.open("sdk")
    assert (status, home.loaded("a"), home.loaded("b")) == (503, [], [LLM])
    assert answer["error"].startswith("b: ")
    assert answer["error"].endswith(f"Unloaded {LLM} on a.")
    # Where it stays, it is still the active one.
    assert (await home.call("GET", "/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


@pytest.mark.usefixtures("quick_greetings")
async def test_nothing_is_unloaded_while_all_are_down(home: Boxes) -> None:
    for box in ("a", "b"):
        await home.studios[box].stop()
        await home.becomes(box, "down")
    status, answer = await post(home, "unload", LLM)
    assert status == 503
    assert "No LM Studio answers" in answer["error"]


# ── The active model ───────────────────────────────────────────────────────────────────────────────────────


async def test_activate_looks_at_all_boxes(home: Boxes) -> None:
    """A model that one of them has exists; one that none has is a 404 with near names."""
    status, answer = await post(home, "activate", RARE)
    assert status == 200
    assert answer["message"].startswith(
        f"{RARE} is now the active model, and is loaded for the first request"
    )
    status, answer = await post(home, "activate", "rare-3c")
    assert (status, answer["details"]["near"][0]) == (404, RARE)
    assert (await post(home, "load", OTHER, box="b", activate=False))[0] == 200
    assert (await post(home, "activate", OTHER))[1]["message"] == f"{OTHER} is now the active model."


async def test_activate_while_a_box_is_down(home: Boxes) -> None:
    """What it listed last counts."""
    assert (await home.call("GET", "/admin/models"))[0] == 200
    await home.studios["b"].stop()
    await home.becomes("b", "down")
    assert (await post(home, "activate", RARE))[0] == 200
    assert (await post(home, "activate", "nothing-like-it"))[0] == 404
