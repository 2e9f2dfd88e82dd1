"""`POST /v1/messages/count_tokens`, which the gateway answers itself."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from lmgateway.simulator.engine import speech
from tests.conftest import StartGateway
from tests.support.home import Home
from tests.support.home_fixtures import held, held_home, home, pace
from tests.support.upstream import ScriptedUpstream

__all__ = ["held", "held_home", "home", "pace"]

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
PATH = "/v1/messages/count_tokens"
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tell the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}}
RESULT = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "content": [{"type": "text", "text": "It rains."}, IMAGE],
}


def user(*blocks: object) -> dict[str, object]:
    return {"role": "user", "content": list(blocks)}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


async def loaded(home: Home, model: str = LLM, **more: object) -> None:
    assert (await home.post("load", modelKey=model, **more))[0] == 200


async def count(
    home: Home, path: str = PATH, messages: object = "Hello you!", **body: object
) -> tuple[int, Any, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    fields = {"model": LLM, "messages": messages, **body}
    url, client = home.gateway.url(path), home.gateway.client
    # aiohttp warns of a long body that isn't a file.
    async with client.post(url, data=io.BytesIO(json.dumps(fields).encode())) as response:
        return response.status, await response.json(), response.headers


async def tokens(home: Home, messages: object, **body: Any) -> int:
    status, answer, _ = await count(home, messages=messages, **body)
    assert (status, answer.keys()) == (200, {"input_tokens"})
    return int(answer["input_tokens"])


async def test_a_prompt_is_counted_by_the_models_template(home: Home) -> None:
    """The count is that of the text which the template makes, not an estimate."""
    await loaded(home)
    assert await tokens(home, "Hello you!") == speech.count_pieces("user:\nHello you!")
    talk = [
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, text("Hi")],
        },
        user(text("One"), text("Two")),
    ]
    prompt = "system:\nBe short.\nuser:\nHello\nassistant:\nHi\nuser:\nOne\nTwo"
    assert await tokens(home, talk, system="Be short.") == speech.count_pieces(prompt)
    system = [text("Be short.") | {"cache_control": {"type": "ephemeral"}}]
    assert await tokens(home, talk, system=system) == speech.count_pieces(prompt)


async def test_tools_and_their_results_are_counted(home: Home) -> None:
    """Claude Code's tools are most of its prompt."""
    await loaded(home)
    plain = await tokens(home, "Weather?")
    search = {"type": "web_search_20250305", "name": "web_search"}
    schema = '{"type":"object","properties":{"city":{"type":"string"}}}'
    offered = await tokens(home, "Weather?", tools=[WEATHER, search])
    assert offered == speech.count_pieces(f"user:\nWeather?\ntool weather {schema}")
    called = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": [CALL]}]
    with_call = await tokens(home, called)
    assert with_call > plain
    answered = await tokens(home, [*called, user(RESULT, text("Well?"))])
    assert answered - with_call == speech.count_pieces("\ntool:\nIt rains.\nuser:\nWell?")


async def test_an_image_counts_nothing(home: Home) -> None:
    """LM Studio reports no count for it, and base64 is no text."""
    await loaded(home)
    assert await tokens(home, [user(IMAGE, text("See?"))]) == await tokens(home, [user(text("See?"))])
    big = IMAGE | {"source": IMAGE["source"] | {"data": "QUJD" * 1_000_000}}
    assert await tokens(home, [user(big, text("See?"))]) == await tokens(home, [user(text("See?"))])
    assert await tokens(home, [user(IMAGE)]) == speech.count_pieces("user:\n")


@pytest.mark.parametrize(
    "path", [f"{PATH}?beta=true", "/messages/count_tokens", "//v1/v1/Messages/count_tokens/"]
)
async def test_every_spelling_of_the_path_is_answered(home: Home, path: str) -> None:
    """Claude Code adds ?beta=true; LM Studio's 200 for an unknown path reaches nobody."""
    await loaded(home)
    assert (await count(home, path))[:2] == (200, {"input_tokens": await tokens(home, "Hello you!")})


@pytest.mark.parametrize("name", ["mine", LLM, "", None])
async def test_a_model_is_named_by_identifier_or_key(home: Home, name: str | None) -> None:
    """Without a name, it is the active model."""
    await loaded(home, instanceId="mine")
    assert (await home.post("activate", modelKey=LLM, instanceId="mine"))[0] == 200
    assert (await count(home, model=name))[0] == 200


@pytest.mark.parametrize("name", [LLM, "unknown", EMBEDDING, "", None])
async def test_a_model_that_is_not_loaded_is_a_404(home: Home, name: str | None) -> None:
    """Clients estimate then. Counting never loads a model."""
    await loaded(home, EMBEDDING)
    status, answer, headers = await count(home, model=name)
    assert (status, headers["X-Refused-Reason"]) == (404, "model_not_loaded")
    assert (answer["type"], answer["error"]["type"]) == ("error", "not_found_error")
    assert answer["request_id"] == headers["X-Request-Id"]
    _, listed = await home.get("/admin/models")
    assert [each["modelKey"] for each in listed["loaded"]] == [EMBEDDING]


async def test_lm_studio_that_cannot_be_reached_is_the_same_404(home: Home) -> None:
    """Not a 503, which clients repeat."""
    await loaded(home)
    await home.studio.stop()
    status, answer, headers = await count(home)
    assert (status, headers["X-Refused-Reason"]) == (404, "model_not_loaded")
    assert "LM Studio can't be reached" in answer["error"]["message"]


async def test_an_address_that_the_sdk_does_not_support_is_the_same_404(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """With a path in base_url only HTTP works."""
    gateway = await start_gateway(f"{upstream.base_url}/lm")
    body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}]}
    async with gateway.client.post(gateway.url(PATH), json=body) as response:
        assert (response.status, response.headers["X-Refused-Reason"]) == (404, "model_not_loaded")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": None},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
        {"messages": [{"role": "assistant", "content": [CALL | {"input": "x"}]}]},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"input_schema": {}}]},
    ],
)
async def test_a_malformed_body_is_a_400(home: Home, body: dict[str, Any]) -> None:
    """In Anthropic's shape, with a sentence that says what is wrong."""
    status, answer, _ = await count(home, **body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["message"].startswith(("The body is no request", "messages: "))


async def test_a_body_that_is_no_json_is_a_400(home: Home) -> None:
    """Also one that isn't UTF-8, and one that is nested too deep."""
    for body in (b"", b"{", b'{"messages":"\xff"}', b'{"messages":' + b"[" * 50_000):
        async with home.gateway.client.post(home.gateway.url(PATH), data=body) as response:
            assert response.status == 400


async def test_a_long_conversation_is_a_413(home: Home) -> None:
    """A body that takes long to convert holds up nobody; a long text within the limit is counted."""
    await loaded(home)
    assert await tokens(home, "word " * 250_000) >= 250_000
    for messages in ("word " * 400_000, [user(*[text("")] * 40_000)], [user(text("x" * 9_000_000))]):
        status, answer, _ = await count(home, messages=messages)
        assert (status, answer["error"]["type"]) == (413, "invalid_request_error")


async def test_half_a_character_is_counted_too(home: Home) -> None:
    """JavaScript that cuts an emoji sends a lone surrogate."""
    await loaded(home)
    body = b'{"model":"%s","messages":[{"role":"user","content":"\\ud83d"}]}' % LLM.encode()
    async with home.gateway.client.post(home.gateway.url(PATH), data=body) as response:
        assert response.status == 200


async def test_counting_is_recorded_like_a_proxied_request(home: Home) -> None:
    """With an event at its beginning and one at its end, under its request id."""
    await loaded(home)
    async with home.events() as events:
        _, _, headers = await count(home)
        seen: dict[str, dict[str, Any]] = {}
        while "inference_complete" not in seen:
            name, fields = await asyncio.wait_for(events.get(), 5)
            seen[name] = fields
        await count(home, model="unknown")
        while "error" not in seen:
            name, fields = await asyncio.wait_for(events.get(), 5)
            seen[name] = fields
    began, ended = seen["inference_start"], seen["inference_complete"]
    assert ended["requestId"] == headers["X-Request-Id"]
    assert (began["path"], ended["status"], seen["error"]["code"]) == (PATH, 200, "model_not_loaded")


async def test_without_mending_it_passes_through(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Byte for byte, except for the active model's name."""
    gateway = await start_gateway(upstream.base_url, compat={"mend": False})
    async with gateway.client.post(gateway.url(f"{PATH}?beta=true"), data=b'{"messages": 1 }') as response:
        assert response.status == 200
    assert (upstream.last.target, upstream.last.body) == (f"{PATH}?beta=true", b'{"messages": 1 }')


async def test_other_methods_pass_through(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Only POST is answered by the gateway."""
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.get(gateway.url(PATH)) as response:
        assert response.status == 200
    assert upstream.last.target == PATH
