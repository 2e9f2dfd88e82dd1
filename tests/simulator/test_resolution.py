"""Which model answers an HTTP request, and what is refused."""

import asyncio
import io
import json
from http import HTTPMethod

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, serve

from .conftest import EMBEDDING, LLM, OTHER_LLM, Gate, ask

TOKEN = "sk-lm-ABCDEFGH:abcdefghijklmnopqrst"  # made up for this test


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


async def test_simultaneous_requests_share_a_load(simulator: Simulator, http: aiohttp.ClientSession):
    """A model is loaded once however many ask for it, and stays loading when one of them leaves."""
    simulator.pace = gate = Gate(holds="load")
    impatient = asyncio.create_task(chat(http, LLM))
    await asyncio.wait_for(gate.reached.wait(), 5)
    patient = asyncio.create_task(chat(http, LLM))
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    gate.opened.set()
    assert (await asyncio.wait_for(patient, 5))[0] == 200
    assert len(simulator.memory.instances()) == 1


async def test_without_just_in_time_loading():
    """Nothing loaded is an error that says so; lists name what is loaded only."""
    simulator = Simulator(pace=Pace.instant(), jit=False)
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
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/api/v0/chat/completions",
        "/api/v1/chat",
        "/api/v1/models/load",
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, path: str):
    """Malformed JSON and missing fields are 400, with an error object."""
    for body in (b"{nonsense", b"", b"{}", b"[]", b'{"model":"\xff"}'):
        async with http.post(path, data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"]


@pytest.mark.parametrize("method", [HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.OPTIONS, HTTPMethod.DELETE])
async def test_unexpected_endpoints(http: aiohttp.ClientSession, method: str):
    """LM Studio says 200 to what it doesn't know."""
    for path in ("/v1/audio/transcriptions", "/x"):
        async with http.request(method, path) as response:
            assert response.status == 200
            expected = {"error": f"Unexpected endpoint or method. ({method} {path})"}
            assert await response.json() == expected


async def test_the_wrong_method(http: aiohttp.ClientSession):
    """A known path with another method is unexpected too."""
    async with http.get("/v1/chat/completions") as response:
        assert response.status == 200
        assert "Unexpected" in (await response.json())["error"]


async def test_large_bodies(simulator: Simulator, http: aiohttp.ClientSession):
    """A hundred megabytes of image are taken in."""
    simulator.load(LLM)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000_000}}
    messages = [{"role": "user", "content": [image]}]
    body = io.BytesIO(json.dumps({"model": LLM, "messages": messages, "max_tokens": 1}).encode())
    async with http.post("/v1/chat/completions", data=body) as response:
        assert response.status == 200
        assert (await response.json())["usage"]["prompt_tokens"] < 300


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"x-api-key": TOKEN}])
async def test_a_token_is_required(headers: dict[str, str]):
    """Without the token everything but the greeting is 401; x-api-key counts for Anthropic's API only."""
    simulator = Simulator(pace=Pace.instant(), api_token=TOKEN)
    async with (
        serve(simulator, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as http,
    ):
        async with http.get("/v1/models") as response:
            assert response.status == 401
            error = (await response.json())["error"]
            assert (error["type"], error["code"]) == ("invalid_request", "invalid_api_key")
        async with http.get("/lmstudio-greeting") as response:
            assert response.status == 200


async def test_a_token_opens_everything():
    """Bearer works everywhere, x-api-key on /v1/messages."""
    simulator = Simulator(pace=Pace.instant(), api_token=TOKEN)
    question = {"model": LLM, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        serve(simulator, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        async with http.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200
        for headers, status in (({"x-api-key": TOKEN}, 200), ({}, 401)):
            async with http.post("/v1/messages", json=question, headers=headers) as response:
                assert response.status == status
