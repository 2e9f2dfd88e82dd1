"""Requests that LM Studio refuses although OpenAI's API allows them, word for word."""

import json

import aiohttp
import pytest

from lmgateway.simulator import Simulator

from .conftest import EMBEDDING, LLM, ask

OBJECT = {"type": "object", "properties": {}}
CHATS = pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v0/chat/completions"])


@pytest.fixture(autouse=True)
def loaded(simulator: Simulator) -> None:
    simulator.load(LLM)
    simulator.load(EMBEDDING)


async def post(http: aiohttp.ClientSession, path: str, body: object) -> tuple[int, dict[str, object]]:
    async with http.post(path, json=body) as response:
        return response.status, await response.json()


def tool(*parameters: object) -> dict[str, object]:
    """A tool of the chat; without an argument it has no parameters."""
    return {
        "type": "function",
        "function": {"name": "f", **({"parameters": parameters[0]} if parameters else {})},
    }


@CHATS
async def test_a_tool_cant_be_named(http: aiohttp.ClientSession, path: str):
    """tool_choice is a word."""
    choice = {"type": "function", "function": {"name": "f"}}
    assert await post(http, path, ask(tools=[tool(OBJECT)], tool_choice=choice)) == (
        400,
        {"error": "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"},
    )
    for word in ("none", "auto", "required"):
        assert (await post(http, path, ask(tools=[tool(OBJECT)], tool_choice=word)))[0] == 200


@CHATS
async def test_json_needs_a_schema(http: aiohttp.ClientSession, path: str):
    """OpenAI's json_object is refused."""
    assert await post(http, path, ask(response_format={"type": "json_object"})) == (
        400,
        {"error": "'response_format.type' must be 'json_schema' or 'text'"},
    )
    assert (await post(http, path, ask(response_format={"type": "text"})))[0] == 200


@CHATS
async def test_parameters_are_an_object(http: aiohttp.ClientSession, path: str):
    """The error is an array of zod's issues as a string, one for each tool."""
    tools = [tool(OBJECT), tool({}), tool({"type": "object"}), tool()]
    status, body = await post(http, path, ask(tools=tools))
    assert status == 400
    assert json.loads(body["error"]) == [
        {
            "code": "invalid_union_discriminator",
            "options": ["object"],
            "path": [1, "function", "parameters", "type"],
            "message": "Invalid discriminator value. Expected 'object'",
        },
        {
            "code": "invalid_type",
            "expected": "object",
            "received": "undefined",
            "path": [2, "function", "parameters", "properties"],
            "message": "Required",
        },
    ]


@pytest.mark.parametrize("kind", ["custom", "web_search", "namespace"])
async def test_tools_of_a_response(http: aiohttp.ClientSession, kind: str):
    """Codex' tools that are neither functions nor MCP servers are refused."""
    function = {"type": "function", "name": "f", "parameters": OBJECT}
    body = {"model": LLM, "input": "Hello", "tools": [function, {"type": kind, "name": "x"}]}
    status, answer = await post(http, "/v1/responses", body)
    assert status == 400
    assert answer["error"]["message"] == "Invalid discriminator value. Expected 'function' | 'mcp'"
    assert answer["error"]["param"] == "tools.1.type"
    assert answer["error"]["code"] == "invalid_union_discriminator"


async def test_parameters_of_a_responses_tool(http: aiohttp.ClientSession):
    """They are an object here too."""
    body = {"model": LLM, "input": "Hello", "tools": [{"type": "function", "name": "f", "parameters": {}}]}
    status, answer = await post(http, "/v1/responses", body)
    assert (status, answer["error"]["message"]) == (400, "Invalid input")
    assert (answer["error"]["param"], answer["error"]["code"]) == ("tools.0", "custom")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/v0/embeddings"])
@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]]])
async def test_embeddings_of_token_ids(http: aiohttp.ClientSession, path: str, ids: object):
    """LangChain's client sends them by default."""
    assert await post(http, path, {"model": EMBEDDING, "input": ids}) == (
        400,
        {"error": "'input' field must be a string or an array of strings"},
    )
