"""Loads for requests: their settings, and that they are one load with an admin's of the same model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from lmgateway.boxes.load_order import LoadedInstance
from lmgateway.errors import Conflict
from lmgateway.schema.models import LoadConfig, LoadRequest
from lmgateway.web.state import ACTIVITY, DATABASE, FLEET, ORIGINS, RULES_IN_FORCE
from tests.conftest import StartGateway
from tests.support.gateway import running_gateway
from tests.support.home import QUICK, Home
from tests.support.studio import Held
from tests.support.waiting import PATIENCE_SECONDS, until

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"
SMALL, LARGE = LoadConfig(context_length=2048), LoadConfig(context_length=8192)
LARGE_JSON = {"contextLength": 8192}


async def on_demand(home: Home, model: str = LLM, instance_id: str | None = None) -> LoadedInstance:
    app = home.gateway.app
    box, profiles = app[FLEET].boxes.main, app[RULES_IN_FORCE].current.profiles.loads
    request = LoadRequest(model_key=model, instance_id=instance_id, activate=False)
    return await box.loads.load(request, box.sdk, profiles, on_demand=True)


async def by_admin(home: Home, **body: object) -> Any:
    status, answer = await home.post("load", **{"modelKey": LLM, "activate": False, **body})
    assert status == 200, answer
    return answer


def loaded(home: Home) -> list[str]:
    """The identifier of each instance that was ever loaded."""
    return [one.identifier for one in home.studio.simulator.ledger.instances]


async def test_it_has_the_settings_of_the_last_load(home: Home) -> None:
    """As an admin gave them, also by the model's path; each model has its own."""
    _, listed = await home.get("/admin/models")
    path = next(model["path"] for model in listed["downloaded"] if model["modelKey"] == LLM)
    await by_admin(home, loadConfig={"contextLength": 1024})
    await by_admin(home, modelKey=path, loadConfig=LARGE_JSON, instanceId="second")
    await by_admin(home, modelKey=EMBEDDING, loadConfig={"contextLength": 512})
    for model in (LLM, EMBEDDING):
        assert (await home.post("unload", modelKey=model))[0] == 200
    instance = await on_demand(home, path)
    assert (instance.model_key, instance.load_config["contextLength"]) == (LLM, 8192)
    assert (await on_demand(home, EMBEDDING)).load_config["contextLength"] == 512


async def test_without_an_earlier_load_they_are_lm_studios(home: Home) -> None:
    """And they aren't remembered; neither are those of an admin's load without settings."""
    default = (await by_admin(home))["loadConfig"]
    await home.post("unload", modelKey=LLM)
    assert (await on_demand(home)).load_config == default
    assert home.gateway.app[ORIGINS].settings(LLM) is None


async def test_an_empty_load_config_is_remembered_too(home: Home) -> None:
    """It asks for LM Studio's own settings."""
    await by_admin(home, loadConfig=LARGE_JSON, instanceId="large")
    await by_admin(home, loadConfig={}, another=True)
    await home.post("unload", modelKey=LLM)
    assert (await on_demand(home)).load_config["contextLength"] == 4096


async def test_a_profile_decides_as_a_whole(home: Home, start_gateway: StartGateway) -> None:
    """And is what was loaded last."""
    profiles = {LLM: {"load": {"parallel": 2}}}
    second = Home(await start_gateway(home.studio.base_url, lmstudio=QUICK, models=profiles), home.studio)
    origins = second.gateway.app[ORIGINS]
    origins.remember_settings(LLM, LARGE)
    instance = await on_demand(second)
    assert (instance.load_config["parallel"], instance.load_config["contextLength"]) == (2, 4096)
    assert origins.settings(LLM) == LoadConfig(parallel=2)


async def test_an_admins_load_takes_none_of_the_last(home: Home) -> None:
    home.gateway.app[ORIGINS].remember_settings(LLM, LARGE)
    assert (await by_admin(home))["loadConfig"]["contextLength"] == 4096
    assert home.gateway.app[ORIGINS].settings(LLM) == LARGE


async def test_a_load_that_fails_or_is_cancelled_is_not_remembered(held_home: Home, held: Held) -> None:
    """Nothing was loaded with its settings."""
    asked = asyncio.create_task(held_home.post("load", modelKey=LLM, loadConfig=LARGE_JSON))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    assert (await held_home.post("load/cancel", modelKey=LLM))[0] == 200
    assert (await asyncio.wait_for(asked, PATIENCE_SECONDS))[0] == 409
    held.finish()
    assert (await held_home.post("load", modelKey="unknown", loadConfig=LARGE_JSON))[0] == 404
    origins = held_home.gateway.app[ORIGINS]
    assert [origins.settings(name) for name in (LLM, "unknown")] == [None, None]


async def test_a_load_that_finds_an_instance_is_not_remembered(home: Home) -> None:
    """It loaded nothing."""
    await by_admin(home, loadConfig=LARGE_JSON)
    home.gateway.app[ORIGINS].remember_settings(LLM, SMALL)
    await by_admin(home, loadConfig=LARGE_JSON)
    await on_demand(home)
    assert home.gateway.app[ORIGINS].settings(LLM) == SMALL


async def test_settings_survive_a_restart(home: Home, tmp_path: Path) -> None:
    """They are saved at once, or if that fails when the gateway stops."""
    tables: dict[str, object] = {
        "lmstudio": {"base_url": home.studio.base_url, **QUICK},
        "server": {"state_dir": str(tmp_path / "another")},
    }
    path, aside = tmp_path / "another" / "lmgateway.db", tmp_path / "aside"
    async with running_gateway(tables) as gateway:
        path.rename(aside)
        await by_admin(Home(gateway, home.studio), loadConfig=LARGE_JSON)
        await until(lambda: gateway.app[DATABASE].errors)
        aside.rename(path)
    await home.post("unload", modelKey=LLM)
    async with running_gateway(tables) as gateway:
        instance = await on_demand(Home(gateway, home.studio))
        assert instance.load_config["contextLength"] == 8192


async def test_an_instance_has_lm_studios_reference(home: Home) -> None:
    """It tells a later instance of the same identifier from this one."""
    first = await on_demand(home)
    references = await home.gateway.app[FLEET].boxes.main.sdk.references()
    assert first.reference
    assert references == {LLM: first.reference}
    await home.post("unload", modelKey=LLM)
    again, embedding = await on_demand(home), await on_demand(home, EMBEDDING)
    assert again.reference != first.reference
    references = await home.gateway.app[FLEET].boxes.main.sdk.references()
    assert references == {LLM: again.reference, EMBEDDING: embedding.reference}
    assert again.load_seconds > 0
    found = await on_demand(home)
    assert (found.identifier, found.was_loaded, found.load_seconds) == (LLM, True, 0)


Load = Coroutine[Any, Any, Any]


async def overlapping(home: Home, held: Held, first: Load, others: list[Load], running: int) -> list[Any]:
    """Begin a load, then the others, and go on with the first when all of them wait for it."""
    tasks = [asyncio.create_task(first)]
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    tasks += [asyncio.create_task(other) for other in others]
    operations = home.gateway.app[ACTIVITY].operations
    await until(lambda: len(operations.running) == running)
    # Another model's load doesn't wait for it: if one of them had begun to load, it would have by then.
    tasks.append(asyncio.create_task(on_demand(home, OTHER)))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    held.finish()
    return await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)


@pytest.mark.parametrize("instance_id", [None, "mine"])
async def test_twenty_on_demand_join_an_admins_load(
    held_home: Home, held: Held, instance_id: str | None
) -> None:
    """It has other settings than they would have; the model is loaded once."""
    held_home.gateway.app[ORIGINS].remember_settings(LLM, SMALL)
    admin = by_admin(held_home, instanceId=instance_id, loadConfig=LARGE_JSON)
    demands: list[Load] = [on_demand(held_home, LLM, instance_id) for _ in range(20)]
    # Those of a name that is being loaded take part in that load, and the others wait for its end.
    running = 1 if instance_id else 2
    answer, *instances, _ = await overlapping(held_home, held, admin, demands, running)
    identifier = instance_id or LLM
    assert sorted(loaded(held_home)) == sorted([identifier, OTHER])
    assert {answer["identifier"], *(one.identifier for one in instances)} == {identifier}
    assert {one.load_config["contextLength"] for one in instances} == {8192}


@pytest.mark.parametrize("config", [None, LARGE_JSON], ids=["no settings", "the same settings"])
@pytest.mark.parametrize("instance_id", [None, "mine"])
async def test_twenty_admins_join_a_load_on_demand(
    held_home: Home, held: Held, instance_id: str | None, config: dict[str, object] | None
) -> None:
    """With settings or without; the model is loaded once."""
    held_home.gateway.app[ORIGINS].remember_settings(LLM, LARGE)
    admins: list[Load] = [
        by_admin(held_home, instanceId=instance_id, loadConfig=config, activate=True) for _ in range(20)
    ]
    running = 1 if instance_id else 2
    demand = on_demand(held_home, LLM, instance_id)
    instance, *answers, _ = await overlapping(held_home, held, demand, admins, running)
    identifier = instance_id or LLM
    assert sorted(loaded(held_home)) == sorted([identifier, OTHER])
    assert {instance.identifier, *(answer["identifier"] for answer in answers)} == {identifier}
    assert {answer["loadConfig"]["contextLength"] for answer in answers} == {8192}
    assert instance.model_key == LLM


@pytest.mark.parametrize("first", [0, 1], ids=["on demand first", "an admin's first"])
async def test_twenty_at_once_of_both_kinds_are_one_load(home: Home, first: int) -> None:
    home.gateway.app[ORIGINS].remember_settings(LLM, LARGE)
    mixed: list[Load] = [
        by_admin(home, loadConfig=LARGE_JSON) if (number + first) % 2 else on_demand(home)
        for number in range(20)
    ]
    await asyncio.wait_for(asyncio.gather(*mixed), PATIENCE_SECONDS)
    assert loaded(home) == [LLM]


async def test_an_admins_load_with_other_settings_is_a_conflict(held_home: Home, held: Held) -> None:
    """Whether or not it gives the name that is being loaded; requests get their model all the same."""
    demand = asyncio.create_task(on_demand(held_home, LLM, "mine"))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    status, answer = await held_home.post("load", modelKey=LLM, instanceId="mine", loadConfig=LARGE_JSON)
    assert (status, "other settings" in answer["error"]) == (409, True)
    unnamed = asyncio.create_task(held_home.post("load", modelKey=LLM, loadConfig=LARGE_JSON))
    operations = held_home.gateway.app[ACTIVITY].operations
    await until(lambda: len(operations.running) == 2)
    held.finish()
    assert (await asyncio.wait_for(demand, PATIENCE_SECONDS)).identifier == "mine"
    assert (await asyncio.wait_for(unnamed, PATIENCE_SECONDS))[0] == 409


async def test_a_named_instance_in_memory_is_the_result(home: Home) -> None:
    """And no other one of the model."""
    for name in (LLM, "mine"):
        await by_admin(home, instanceId=name)
    for name in ("mine", LLM):
        instance = await on_demand(home, LLM, name)
        assert (instance.identifier, instance.was_loaded) == (name, True)
    assert (await on_demand(home, LLM, "another")).was_loaded is False
    assert loaded(home) == [LLM, "mine", "another"]


@pytest.mark.parametrize("model", [LLM, OTHER], ids=["the same model", "another model"])
async def test_it_waits_for_another_load_of_the_name(held_home: Home, held: Held, model: str) -> None:
    """Which it can't be a part of. The result is that instance, unless it is another model's."""
    _, listed = await held_home.get("/admin/models")
    path = next(one["path"] for one in listed["downloaded"] if one["modelKey"] == model)
    admin = asyncio.create_task(by_admin(held_home, modelKey=path, instanceId="mine"))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    demand = asyncio.create_task(on_demand(held_home, LLM, "mine"))
    await until(lambda: len(held_home.gateway.app[ACTIVITY].operations.running) == 2)
    # LM Studio answers in order: a load that didn't wait would have asked for all that it needs by then.
    for _ in range(4):
        await held_home.get("/admin/models")
    held.finish()
    assert (await asyncio.wait_for(admin, PATIENCE_SECONDS))["identifier"] == "mine"
    if model == LLM:
        assert (await asyncio.wait_for(demand, PATIENCE_SECONDS)).identifier == "mine"
    else:
        with pytest.raises(Conflict, match="mine is loaded already"):
            await asyncio.wait_for(demand, PATIENCE_SECONDS)
    assert loaded(held_home) == ["mine"]


async def test_one_name_has_one_model_and_one_time_to_live(held_home: Home, held: Held) -> None:
    """Loads that differ in them aren't one."""
    first = asyncio.create_task(by_admin(held_home, instanceId="mine", ttlSeconds=60))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    for different in ({"modelKey": OTHER}, {"modelKey": LLM, "ttlSeconds": 61}):
        assert (await held_home.post("load", instanceId="mine", **different))[0] == 409
    joined = asyncio.create_task(by_admin(held_home, instanceId="mine"))
    held.finish()
    for load in (first, joined):
        assert (await asyncio.wait_for(load, PATIENCE_SECONDS))["identifier"] == "mine"


async def test_a_name_is_taken_from_no_other_model(home: Home) -> None:
    """The instance that has it is another model's."""
    await by_admin(home, modelKey=OTHER, instanceId="mine")
    with pytest.raises(Conflict, match="mine is loaded already"):
        await on_demand(home, LLM, "mine")
    assert (await by_admin(home, modelKey=OTHER))["identifier"] == "mine"
    assert loaded(home) == ["mine"]


async def test_one_on_demand_is_made_if_the_load_before_it_was_cancelled(held_home: Home, held: Held) -> None:
    """It asked for other settings, so it isn't a part of that load."""
    held_home.gateway.app[ORIGINS].remember_settings(LLM, SMALL)
    admin = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="mine"))
    await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    demand = asyncio.create_task(on_demand(held_home))
    operations = held_home.gateway.app[ACTIVITY].operations
    await until(lambda: len(operations.running) == 2)
    await held_home.post("load/cancel", modelKey=LLM, instanceId="mine")
    assert (await asyncio.wait_for(admin, PATIENCE_SECONDS))[0] == 409
    held.finish()
    instance = await asyncio.wait_for(demand, PATIENCE_SECONDS)
    assert (instance.identifier, instance.load_config["contextLength"]) == (LLM, 2048)
