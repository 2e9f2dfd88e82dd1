"""Models unloaded over the admin API, and what is active after it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from lmgateway.schema.models import ActiveModels
from lmgateway.simulator import Simulator
from lmgateway.simulator.engine.catalogue import Domain
from lmgateway.simulator.engine.faults import Fault
from lmgateway.simulator.engine.load_records import Origin
from lmgateway.storage.active_models import SavedActiveModels
from tests.conftest import StartGateway
from tests.support.home import Home

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


@pytest.mark.parametrize("by", ["key", "path", "identifier"])
async def test_unload_by_any_name(home: Home, by: str) -> None:
    """By key and path every instance goes; by identifier that one."""
    await home.post("load", modelKey=LLM)
    await home.post("load", modelKey=LLM, another=True)
    _, listed = await home.get("/admin/models")
    names = {model["identifier"] for model in listed["loaded"]}
    assert names == {LLM, f"{LLM}:2"}
    name = {"key": LLM, "path": listed["loaded"][0]["path"], "identifier": f"{LLM}:2"}[by]
    status, _ = await home.post("unload", modelKey=name)
    assert status == 200
    _, listed = await home.get("/admin/models")
    assert {model["identifier"] for model in listed["loaded"]} == ({LLM} if by == "identifier" else set())


async def test_unloading_the_active_model_is_explained(home: Home) -> None:
    """Requests then have to name a model."""
    await home.post("load", modelKey=LLM)
    _, answer = await home.post("unload", modelKey=LLM)
    assert answer["message"] == (
        f"Unloaded {LLM}. No model is active any more: requests must name one until you activate another."
    )


async def test_an_unload_that_fails_half_way_deactivates_what_is_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No unloaded instance stays active, and the failure is an event."""
    await home.post("load", modelKey=LLM, instanceId="first")
    await home.post("load", modelKey=LLM, instanceId="second", activate=False)
    unload = Simulator.unload

    async def refuse_the_second(
        simulator: Simulator, identifier: str, domain: Domain | None = None, *, by: Origin
    ) -> None:
        if identifier == "second":
            raise Fault("The model is busy.")
        await unload(simulator, identifier, domain, by=by)

    monkeypatch.setattr(Simulator, "unload", refuse_the_second)
    async with home.events() as events:
        status, answer = await home.post("unload", modelKey=LLM)
        assert (status, answer["error"]) == (500, "The model is busy. Unloaded first.")
        published = [await asyncio.wait_for(events.get(), 5) for _ in range(4)]
    assert sorted((name, event.get("instanceId", event.get("operation"))) for name, event in published) == [
        ("error", "model_unload"),
        ("model_unload_complete", "first"),
        ("model_unload_start", "first"),
        ("model_unload_start", "second"),
    ]
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_an_instance_that_was_unloaded_meanwhile_counts_as_unloaded(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LM Studio's window or a time to live may have unloaded it first."""
    for name in ("first", "second"):
        await home.post("load", modelKey=LLM, instanceId=name)
    unload = Simulator.unload

    async def unload_both(
        simulator: Simulator, identifier: str, domain: Domain | None = None, *, by: Origin
    ) -> None:
        await unload(simulator, identifier, domain, by=by)
        if identifier == "first":
            simulator.memory.unload("second")

    monkeypatch.setattr(Simulator, "unload", unload_both)
    assert (await home.post("unload", modelKey=LLM))[0] == 200
    assert (await home.get("/admin/models"))[1]["loaded"] == []
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_an_unload_that_cant_begin_is_a_failed_operation(home: Home) -> None:
    """It is an event and a state, whichever step failed."""
    await home.studio.stop()
    async with home.events() as events:
        assert (await home.post("unload", modelKey=LLM))[0] == 503
        name, event = await asyncio.wait_for(events.get(), 5)
    assert (name, event["operation"]) == ("error", "model_unload")
    assert (await home.get("/debug/status"))[1]["status"] == "error"


async def test_a_change_that_cant_be_saved_says_what_happened_to_the_model(
    home: Home, start_gateway: StartGateway, tmp_path: Path
) -> None:
    """A load and an unload are done in LM Studio even if the state can't be saved."""
    server = {"state_dir": str(tmp_path / "full")}
    gateway = Home(await start_gateway(home.studio.base_url, server=server), home.studio)
    await gateway.post("load", modelKey=LLM)
    (tmp_path / "full" / "lmgateway.db").unlink()
    for action, model, done in (("load", OTHER, "loaded"), ("unload", LLM, "unloaded")):
        status, answer = await gateway.post(action, modelKey=model)
        assert status == 500
        assert answer["error"].startswith(f"{model} is {done}. The state can't be saved in ")
    assert (await gateway.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


async def test_an_unload_of_nothing_is_no_operation(home: Home) -> None:
    """The previous failure stays the state, and nothing is counted."""
    await home.studio.stop()
    assert (await home.post("unload", modelKey=LLM))[0] == 503
    await home.studio.start()
    assert (await home.post("unload", modelKey=LLM))[0] == 404
    assert (await home.get("/debug/status"))[1]["status"] == "error"
    async with home.gateway.client.get(home.gateway.url("/metrics")) as response:
        metrics = await response.text()
    counted = dict(re.findall(r'operations_total\{operation="model_unload",result="(\w+)"\} (\S+)', metrics))
    assert (counted["failure"], counted.get("success", "0.0")) == ("1.0", "0.0")


async def test_an_unload_undoes_no_activation_beside_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is activated while the previous one is unloaded stays active."""
    await home.post("load", modelKey=LLM)
    save, saving, may_save = SavedActiveModels.save, asyncio.Event(), asyncio.Event()

    async def slowly(saved: SavedActiveModels, active: ActiveModels) -> None:
        saving.set()
        await may_save.wait()
        await save(saved, active)

    monkeypatch.setattr(SavedActiveModels, "save", slowly)
    activating = asyncio.create_task(home.post("activate", modelKey=OTHER))
    await asyncio.wait_for(saving.wait(), 5)
    unloading = asyncio.create_task(home.post("unload", modelKey=LLM))
    while (await home.get("/admin/models"))[1]["loaded"]:
        pass
    may_save.set()
    assert [status for status, _ in await asyncio.gather(activating, unloading)] == [200, 200]
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == OTHER
