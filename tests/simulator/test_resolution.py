"""The model that answers an HTTP request, and refusals."""

import io
import json

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, Switches, serve

from .conftest import EMBEDDING, LLM, OTHER_LLM, TOKEN, ask


async def chat(http: aiohttp.ClientSession, model: str, **more: object) -> tuple[int, dict[str, object]]:
    async with http.post(
        "/v1/chat/completions", json={**ask(max_tokens=1), "model": model, **more}
    ) as response:
        return response.status, await response.json()


async def test_by_identifier_and_by_key(simulator: Simulator, http: aiohttp.ClientSession):
    """An instance answers to both of its names."""
    simulator.load(LLM, "mine")
    simulator.load(OTHER_LLM)
    assert (await chat(http, "mine"))[1]["model"] == "mine"
    assert (await chat(http, LLM))[1]["model"] == "mine"


async def test_the_only_model_answers_to_anything(simulator: Simulator, http: aiohttp.ClientSession):
    """With one LLM loaded any name will do, and embedding models don't count."""
    simulator.load(LLM)
    simulator.load(EMBEDDING)
    assert (await chat(http, "gpt-4o"))[1]["model"] == LLM
    assert (await chat(http, ""))[1]["model"] == LLM


async def test_an_unknown_name_among_several(simulator: Simulator, http: aiohttp.ClientSession):
    """With several loaded it is model_not_found."""
    simulator.load(LLM)
    simulator.load(OTHER_LLM)
    status, answer = await chat(http, "gpt-4o")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_a_model_on_disk_is_loaded(simulator: Simulator, http: aiohttp.ClientSession):
    """Just in time, with the request's ttl."""
    simulator.load(LLM)
    assert (await chat(http, OTHER_LLM, ttl=77))[1]["model"] == OTHER_LLM
    assert [instance.ttl_seconds for instance in simulator.memory.instances()] == [None, 77]


async def test_without_just_in_time_loading():
    """Nothing loaded is an error that says so; lists name what is loaded only."""
    simulator = Simulator(pace=Pace.instant(), switches=Switches(jit=False))
    async with (
        serve(simulator, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        status, answer = await chat(http, LLM)
        assert status == 404
        assert answer["error"]["message"].startswith("No models loaded")
        simulator.load(OTHER_LLM)
        async with http.get("/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == [OTHER_LLM]
        assert (await chat(http, LLM))[1]["model"] == OTHER_LLM


async def test_the_wrong_kind_of_model(http: aiohttp.ClientSession):
    """An embedding model can't chat."""
    status, answer = await chat(http, EMBEDDING)
    assert status == 400
    assert "embedding" in answer["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"),
        *("/api/v0/chat/completions", "/api/v1/chat", "/api/v1/models/load"),
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, path: str):
    """Malformed JSON and missing fields are 400, with an error object."""
    for body in (b"{nonsense", b"", b"{}", b"[]", b'{"model":"\xff"}'):
        async with http.post(path, data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "/x") for method in ("GET", "POST", "OPTIONS", "DELETE")),
        *(("POST", "/v1/audio/transcriptions"), ("GET", "/v1/chat/completions")),
    ],
)
async def test_unexpected_endpoints(http: aiohttp.ClientSession, method: str, path: str):
    """LM Studio responds 200 to a path, or a method of a known path, that it doesn't have."""
    async with http.request(method, path) as response:
        assert response.status == 200
        assert await response.json() == {"error": f"Unexpected endpoint or method. ({method} {path})"}


async def test_large_bodies(simulator: Simulator, http: aiohttp.ClientSession):
    """An image of a hundred megabytes is accepted, and counts as many tokens as any other."""
    simulator.load(LLM)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000_000}}
    messages = [{"role": "user", "content": [image]}]
    body = io.BytesIO(json.dumps({"model": LLM, "messages": messages, "max_tokens": 1}).encode())
    async with http.post("/v1/chat/completions", data=body) as response:
        assert response.status == 200
        assert 256 < (await response.json())["usage"]["prompt_tokens"] < 300


@pytest.mark.parametrize(
    ("headers", "models", "messages"),
    [
        ({}, 401, 401),
        ({"Authorization": "Bearer wrong"}, 401, 401),
        ({"x-api-key": TOKEN}, 401, 200),
        ({"Authorization": f"Bearer {TOKEN}"}, 200, 200),
    ],
)
async def test_a_token_is_required(guarded: str, headers: dict[str, str], models: int, messages: int):
    """By everything but the greeting; Anthropic's API accepts it as x-api-key too."""
    async with aiohttp.ClientSession(guarded, headers=headers) as http:
        async with http.get("/v1/models") as response:
            assert response.status == models
            if models == 401:
                error = (await response.json())["error"]
                assert (error["type"], error["code"]) == ("invalid_request", "invalid_api_key")
        async with http.post("/v1/messages", json=ask(max_tokens=1)) as response:
            assert response.status == messages
        async with http.get("/lmstudio-greeting") as response:
            assert response.status == 200
