"""The model that answered, where it isn't the one that was asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.debug.conftest import LLM
from tests.support.home import Home
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw
from tests.support.waiting import PATIENCE_SECONDS

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}
LISTED = ("asked", "other")


def answered_by(model: str, *, stream: bool) -> Any:
    """Return the script of an LM Studio with two models, of which this one answers."""
    choice = {"delta": {"content": "a"}, "finish_reason": "stop"} if stream else {"message": {"content": "a"}}
    body = json.dumps(
        {"id": "x", "model": model, "choices": [choice], "usage": USAGE}, indent=None if stream else 2
    )
    listing = json.dumps({"data": [{"id": name} for name in LISTED]})

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            answers = answer(listing.encode())
        elif stream:
            answers = raw(STREAM_HEAD + chunk(f"data: {body}\n\n".encode()) + chunk(b""))
        else:
            answers = answer(body.encode())
        await answers(request, reader, writer)

    return script


async def ask(home: Home, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the event of the request's end, and its row in /debug/requests."""
    async with home.events() as events:
        async with home.gateway.client.post(home.gateway.url(CHAT), json=body) as response:
            assert response.status == 200
            await response.read()
        name = ""
        while name != "inference_complete":
            name, data = await asyncio.wait_for(events.get(), PATIENCE_SECONDS)
    _, report = await home.get("/debug/requests")
    return data, report["recent"][-1]


async def series(home: Home, name: str) -> dict[str, float]:
    """Return the values of a metric by model."""
    async with home.gateway.client.get(home.gateway.url("/metrics")) as response:
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    samples = [sample for sample in families[name].samples if sample.name.endswith("_total")]
    return {sample.labels["model"]: sample.value for sample in samples if sample.labels["route"] == CHAT}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("asked", "answered", "served", "label"),
    [
        ("asked", "asked", None, "asked"),
        ("asked", "asked:2", None, "asked"),
        ("asked", "other", "other", "other"),
        ("asked", "nowhere-listed", "nowhere-listed", "other"),
        ("invented", "asked", "asked", "asked"),
        (None, "asked", "asked", "asked"),
    ],
)
async def test_the_model_that_answered_is_told(
    scripted: Home,
    upstream: ScriptedUpstream,
    asked: str | None,
    answered: str,
    served: str | None,
    label: str,
    stream: bool,
) -> None:
    """In the event, in /debug/requests and in the metrics, which have no label for a name on no list."""
    upstream.script = answered_by(answered, stream=stream)
    body = {} if asked is None else {"model": asked}
    event, row = await ask(scripted, {**body, "stream": stream})
    assert (event.get("servedModel"), "servedModel" in event) == (served, served is not None)
    assert (row["model"], row["servedModel"]) == (asked, served)
    assert await series(scripted, "lmgateway_requests") == {label: 1}
    assert await series(scripted, "lmgateway_reasoning_tokens") == {label: 2}
    assert event["tokenUsage"]["reasoningTokens"] == row["tokenUsage"]["reasoningTokens"] == 2


async def test_an_instance_of_another_name_is_the_same_model(home: Home) -> None:
    """LM Studio's list of instances says which model each belongs to."""
    status, _ = await home.post("unload", modelKey=LLM)
    assert status == 200
    await home.post("load", modelKey=LLM, instanceId="mine", activate=False)
    await home.get("/admin/models")
    for asked in (LLM, "mine"):
        body = {"model": asked, "messages": [{"role": "user", "content": "x"}]}
        async with home.gateway.client.post(home.gateway.url(CHAT), json=body) as response:
            assert (await response.json())["model"] == "mine"
        event, row = await ask(home, body)
        assert ("servedModel" in event, row["servedModel"]) == (False, None)


async def test_a_running_request_shows_which_model_answers(
    scripted: Home, upstream: ScriptedUpstream
) -> None:
    """As soon as its first event has named it."""
    token = b'data: {"id":"x","model":"other","choices":[{"delta":{"content":"a"}}]}\n\n'

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw(STREAM_HEAD + chunk(token), then_close=False)(request, reader, writer)
        await reader.read()

    upstream.script = script
    body = {"model": "asked", "stream": True}
    async with scripted.gateway.client.post(scripted.gateway.url(CHAT), json=body) as response:
        await response.content.readany()
        _, report = await scripted.get("/debug/requests")
        (row,) = report["running"]
        assert (row["model"], row["servedModel"]) == ("asked", "other")
