"""Loads of a model that has an instance in memory already."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import Held
from tests.support.waiting import until

HINT = "To load one more instance, send `another` (--another)."
LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def loaded(home: Home) -> list[str]:
    _, listed = await home.get("/admin/models")
    return [model["identifier"] for model in listed["loaded"]]


@pytest.mark.parametrize("model", [LLM, EMBEDDING])
async def test_a_second_load_is_answered_with_the_instance(home: Home, model: str) -> None:
    """LM Studio would load the model twice. The load activates as usual, and nothing was loaded: no event."""
    await home.post("load", modelKey=model, activate=False)
    async with home.events() as events:
        status, answer = await home.post("load", modelKey=model, ttlSeconds=60)
        kind, _ = await asyncio.wait_for(events.get(), 5)
    assert (status, answer["identifier"], answer["activated"]) == (200, model, True)
    assert answer["message"] == f"{model} is loaded already and is now the active model. {HINT}"
    assert answer["loadConfig"]["contextLength"] > 0
    assert kind == "model_activate"
    assert await loaded(home) == [model]


async def test_the_instance_may_have_any_name(home: Home) -> None:
    """And the request may name the model by its path; the active model is then that instance."""
    await home.post("load", modelKey=LLM, instanceId="mine", activate=False)
    _, listed = await home.get("/admin/models")
    for name in (LLM, listed["loaded"][0]["path"]):
        _, answer = await home.post("load", modelKey=name)
        assert (answer["identifier"], answer["instanceId"]) == ("mine", None)
    _, active = await home.get("/admin/models/active")
    assert active["activeModel"]["instanceId"] == "mine"


async def test_other_settings_are_a_conflict(home: Home) -> None:
    """The sentence says what to do; only the settings of the request are compared."""
    await home.post("load", modelKey=LLM, loadConfig={"contextLength": 8192, "gpu": {"ratio": 0.5}})
    status, answer = await home.post("load", modelKey=LLM, loadConfig={"contextLength": 4096, "parallel": 4})
    assert status == 409
    assert f"{LLM} is loaded already, with a context of 8,192 tokens instead of 4,096." in answer["error"]
    assert "unload it first" in answer["error"]
    assert "instanceId" in answer["error"]
    for same in (
        {},
        {"contextLength": 8192},
        {"gpu": {"ratio": 0.5}},
        {"parallel": 4, "flashAttention": True},
    ):
        status, answer = await home.post("load", modelKey=LLM, loadConfig=same)
        assert (status, answer["identifier"]) == (200, LLM)
    assert await loaded(home) == [LLM]


async def test_one_more_instance(home: Home) -> None:
    """Only with `another`, or with a name of its own."""
    await home.post("load", modelKey=LLM)
    _, answer = await home.post("load", modelKey=LLM, another=True, loadConfig={"contextLength": 8192})
    assert answer["identifier"] == f"{LLM}:2"
    await home.post("load", modelKey=LLM, instanceId="mine")
    _, answer = await home.post("load", modelKey=LLM, another=False)
    assert answer["identifier"] == LLM
    assert await loaded(home) == [LLM, f"{LLM}:2", "mine"]


async def test_of_several_instances_the_one_with_the_settings(home: Home) -> None:
    for name, tokens in (("small", 2048), ("large", 8192)):
        await home.post("load", modelKey=LLM, instanceId=name, loadConfig={"contextLength": tokens})
    _, answer = await home.post("load", modelKey=LLM, loadConfig={"contextLength": 8192})
    assert answer["identifier"] == "large"


async def test_a_profile_with_other_settings_is_a_warning(home: Home, start_gateway: StartGateway) -> None:
    """A request without settings doesn't insist on them, but isn't told that they are in force."""
    await home.post("load", modelKey=LLM)
    profiles = {LLM: {"load": {"contextLength": 8192, "parallel": 4}}}
    second = Home(await start_gateway(home.studio.base_url, lmstudio=QUICK, models=profiles), home.studio)
    status, answer = await second.post("load", modelKey=LLM, activate=False)
    warning = "It has a context of 4,096 tokens instead of 8,192."
    assert (status, answer["warnings"]) == (200, [warning])
    assert answer["message"] == f"{LLM} is loaded already. {HINT} {warning}"


@pytest.mark.parametrize(
    "second", [{"ttlSeconds": 60}, {"loadConfig": {"contextLength": 4096}}], ids=["TTL", "settings"]
)
async def test_a_load_waits_for_the_models_load_in_progress(
    held_home: Home, held: Held, second: dict[str, object]
) -> None:
    """Though it isn't equal to it: the model would be loaded twice."""
    first = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="x"))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    joined = asyncio.create_task(held_home.post("load", modelKey=LLM, **second))
    await until(lambda: len(held_home.gateway.app[ACTIVITY].operations.running) == 2)
    # Another model's load doesn't wait. When it has begun, one that didn't wait would have begun too.
    other = asyncio.create_task(held_home.post("load", modelKey=OTHER))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    held.finish()
    answers = await asyncio.wait_for(asyncio.gather(first, joined, other), 10)
    assert [answer["identifier"] for _, answer in answers] == ["x", "x", OTHER]


async def test_a_load_that_waits_can_be_cancelled(held_home: Home, held: Held) -> None:
    """By the name that it was asked for by; the load that it waits for continues."""
    _, listed = await held_home.get("/admin/models")
    path = next(model["path"] for model in listed["downloaded"] if model["modelKey"] == LLM)
    first = asyncio.create_task(held_home.post("load", modelKey=LLM))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    waiting = asyncio.create_task(held_home.post("load", modelKey=path))
    while (await held_home.post("load/cancel", modelKey=path))[0] == 404:
        pass
    status, answer = await asyncio.wait_for(waiting, 5)
    assert (status, "cancelled" in answer["error"]) == (409, True)
    held.finish()
    assert (await asyncio.wait_for(first, 5))[0] == 200


async def test_a_load_is_made_if_the_one_before_it_failed(held_home: Home, held: Held) -> None:
    first = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="x"))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    second = asyncio.create_task(held_home.post("load", modelKey=LLM))
    await until(lambda: len(held_home.gateway.app[ACTIVITY].operations.running) == 2)
    assert (await held_home.post("load/cancel", modelKey=LLM, instanceId="x"))[0] == 200
    assert (await asyncio.wait_for(first, 5))[0] == 409
    held.finish()
    _, answer = await asyncio.wait_for(second, 5)
    assert answer["message"] == f"{LLM} is loaded and is now the active model."
