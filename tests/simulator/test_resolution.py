"""The model that answers an HTTP request, and refusals."""

import io
import json

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, Switches, serve
from lmgateway.simulator.engine.faults import LoadFailed

from .conftest import EMBEDDING, LLM, OTHER_LLM, TOKEN, ask

NO_MODELS = "No models loaded. Please load a model in the developer page or use the 'lms load' command."


NO_TOKEN = (
    "An LM Studio API token is required to make requests to this server, but none was provided using the "
    "Authorization header using the 'Bearer' scheme (i.e., 'Authorization: Bearer $LM_API_TOKEN'). "
    "Learn more at: https://lmstudio.ai/docs/developer/core/authentication."
)
MALFORMED = "Malformed or unknown LM Studio API token provided."


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
    """Without just-in-time loading, if one LLM is loaded; embedding models don't count."""
    simulator.switches = Switches(jit=False)
    simulator.load(LLM)
    simulator.load(EMBEDDING)
    assert (await chat(http, "gpt-4o"))[1]["model"] == LLM
    assert (await chat(http, ""))[1]["model"] == LLM


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/api/v0/chat/completions"])
async def test_an_unknown_name(simulator: Simulator, http: aiohttp.ClientSession, path: str):
    """With just-in-time loading it is refused, although one model is loaded."""
    simulator.load(LLM)
    async with http.post(path, json={**ask(), "input": "Hello", "model": "gpt-4o"}) as response:
        assert response.status == 400
        assert await response.json() == {
            "error": {
                "message": 'Invalid model identifier "gpt-4o". Please specify a valid downloaded model '
                f"(e.g., {LLM}, {OTHER_LLM}, qwen2.5-vl-7b-instruct).",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        }


async def test_an_unknown_name_among_several(simulator: Simulator, http: aiohttp.ClientSession):
    """Without just-in-time loading it is model_not_found, and all models are named."""
    simulator.switches = Switches(jit=False)
    simulator.load(LLM)
    simulator.load(OTHER_LLM)
    status, answer = await chat(http, "gpt-4o")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert answer["error"]["message"].startswith(
        f'Model "gpt-4o" not found. Please specify a valid model.\n\nYour models:\n\n{LLM}\n'
    )


class NoMemory(Pace):
    async def load(self, fraction: float, model_key: str) -> None:
        raise LoadFailed("Not enough memory.")


async def test_a_load_just_in_time_fails(simulator: Simulator, http: aiohttp.ClientSession):
    """The request that began it says why."""
    simulator.pace = NoMemory()
    status, answer = await chat(http, LLM)
    assert status == 400
    assert answer["error"]["message"] == f'Failed to load model "{LLM}". Error: Not enough memory.'


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
        assert await chat(http, LLM) == (400, {"error": NO_MODELS})
        async with http.post("/v1/responses", json={"model": LLM, "input": "Hello"}) as response:
            assert response.status == 400
            assert await response.json() == {
                "error": {
                    "message": NO_MODELS,
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": None,
                }
            }
        simulator.load(OTHER_LLM)
        async with http.get("/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == [OTHER_LLM]
        assert (await chat(http, LLM))[1]["model"] == OTHER_LLM


async def test_the_wrong_kind_of_model(http: aiohttp.ClientSession):
    """An embedding model can't chat."""
    status, answer = await chat(http, EMBEDDING)
    assert status == 400
    assert "embedding" in answer["error"]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        *((path, str) for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")),
        ("/api/v0/chat/completions", str),
        *((path, dict) for path in ("/v1/responses", "/v1/messages", "/api/v1/chat", "/api/v1/models/load")),
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, path: str, shape: type):
    """Malformed JSON and missing fields are 400; the error of OpenAI's older endpoints is a bare string."""
    for body in (b"{nonsense", b"", b"{}", b"[]", b'{"model":"\xff"}'):
        async with http.post(path, data=body) as response:
            assert response.status == 400
            assert type((await response.json())["error"]) is shape


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "/x") for method in ("GET", "POST", "OPTIONS", "DELETE")),
        *(("POST", "/v1/audio/transcriptions"), ("GET", "/v1/chat/completions"), ("GET", "/")),
        ("POST", "/v1/messages/count_tokens?beta=true"),
    ],
)
async def test_unexpected_endpoints(http: aiohttp.ClientSession, method: str, path: str):
    """LM Studio responds 200 to a path, or a method of a known path, that it doesn't have; with its query."""
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
                assert error["message"] == (MALFORMED if "Authorization" in headers else NO_TOKEN)
        async with http.post("/v1/messages", json=ask(max_tokens=1)) as response:
            assert response.status == messages
        async with http.get("/lmstudio-greeting") as response:
            assert response.status == 200
