"""The bytes of LM Studio's answers: Express' headers, pretty-printed JSON, and when a head is sent."""

import asyncio

import aiohttp
import pytest

from lmgateway.simulator import Simulator
from tests.support.gate import Gate

from .conftest import LLM, ask

STREAMS = {
    "/v1/chat/completions": {},
    "/v1/completions": {"prompt": "Once"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"max_tokens": 10},
    "/api/v0/chat/completions": {},
}


async def test_the_greeting_is_compact(http: aiohttp.ClientSession):
    """It has 17 bytes, by which some clients recognize LM Studio."""
    async with http.get("/lmstudio-greeting") as response:
        assert await response.read() == b'{"lmstudio":true}'


@pytest.mark.parametrize("path", ["/v1/models", "/api/v0/models"])
async def test_listings_are_pretty_printed(http: aiohttp.ClientSession, path: str):
    """With two spaces, `data` before `object`, and no newline at the end."""
    async with http.get(path) as response:
        body = await response.text()
    assert body.startswith('{\n  "data": [\n    {\n      "id": "qwen2.5-7b-instruct",\n')
    assert body.endswith('\n  ],\n  "object": "list"\n}')


async def test_the_headers_of_express(simulator: Simulator, http: aiohttp.ClientSession):
    """Answers and errors have them; a stream has no length and no ETag."""
    simulator.load(LLM)
    for body in (ask(max_tokens=1), {}):
        async with http.post("/v1/chat/completions", json=body) as response:
            assert response.headers["Content-Type"] == "application/json; charset=utf-8"
            assert response.headers["X-Powered-By"] == "Express"
            assert response.headers["Keep-Alive"] == "timeout=5"
            assert response.headers["ETag"].startswith(f'W/"{response.content_length:x}-')
            assert (await response.text()).startswith("{\n  ")
    async with http.post("/v1/chat/completions", json=ask(stream=True)) as response:
        assert response.headers["X-Powered-By"] == "Express"
        assert {"ETag", "Content-Length", "Server"}.isdisjoint(response.headers)
        assert b'data: {"id":"' in await response.read()


@pytest.mark.parametrize("path", ["/", "/x"])
async def test_head_of_an_unknown_path(http: aiohttp.ClientSession, path: str):
    """200 with the length of the sentence that a GET would have, and no body; Claude Code asks HEAD /."""
    async with http.head(path) as response:
        assert response.status == 200
        sentence = f'{{\n  "error": "Unexpected endpoint or method. (HEAD {path})"\n}}'
        assert response.content_length == len(sentence)
        assert await response.read() == b""
    async with http.get("/lmstudio-greeting") as response:
        assert response.status == 200


@pytest.mark.parametrize("path", STREAMS)
async def test_a_streams_head_is_sent_with_its_first_token(
    simulator: Simulator, http: aiohttp.ClientSession, path: str
):
    """Nothing is sent while the prompt is read."""
    simulator.load(LLM)
    simulator.pace = gate = Gate(holds="prompt")
    asking = asyncio.create_task(http.post(path, json=ask(stream=True) | STREAMS[path]))
    await asyncio.wait_for(gate.reached.wait(), 5)
    await _round_trips(http)
    assert not asking.done()
    gate.opened.set()
    async with await asyncio.wait_for(asking, 5) as response:
        assert response.status == 200
        assert await response.read()


async def _round_trips(http: aiohttp.ClientSession) -> None:
    """Long enough for a head that was sent before to arrive."""
    for _ in range(3):
        async with http.get("/lmstudio-greeting") as response:
            await response.read()
