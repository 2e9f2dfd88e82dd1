"""The APIs that continue a stored conversation."""

import aiohttp
import pytest

from lmgateway.simulator import Simulator

from .conftest import LLM

ROLE = 3
"""The tokens of `assistant:`."""

PATHS = pytest.mark.parametrize("path", ["/v1/responses", "/api/v1/chat"])


@pytest.fixture(autouse=True)
def loaded(simulator: Simulator) -> None:
    simulator.load(LLM)


async def ask(
    http: aiohttp.ClientSession, path: str, text: str, status: int = 200, **more: object
) -> dict[str, object]:
    async with http.post(path, json={"model": LLM, "input": text, **more}) as response:
        assert response.status == status
        return await response.json()


def response_id(answer: dict[str, object]) -> object:
    return answer["id"] if "id" in answer else answer["response_id"]


def prompt_tokens(answer: dict[str, object]) -> int:
    figures = answer.get("usage") or answer["stats"]
    return figures["input_tokens"]


def output_tokens(answer: dict[str, object]) -> int:
    figures = answer.get("usage") or answer["stats"]
    return figures.get("output_tokens") or figures["total_output_tokens"]


@PATHS
async def test_the_earlier_turns_are_in_the_prompt(http: aiohttp.ClientSession, path: str):
    """A question, its answer, and the next question; the answers form a chain."""
    alone = prompt_tokens(await ask(http, path, "Hello"))
    first = await ask(http, path, "Hello")
    before, expected = first, alone
    for _ in range(2):
        expected += ROLE + output_tokens(before) + alone
        before = await ask(http, path, "Hello", previous_response_id=response_id(before))
        assert prompt_tokens(before) == expected
    # A conversation may be continued twice.
    again = await ask(http, path, "Hello", previous_response_id=response_id(first))
    assert prompt_tokens(again) == alone + ROLE + output_tokens(first) + alone


@PATHS
async def test_a_streamed_answer_is_stored(http: aiohttp.ClientSession, path: str):
    """Before its last event, which has its id."""
    async with http.post(path, json={"model": LLM, "input": "Hello", "stream": True}) as response:
        assert response.status == 200
        text = await response.text()
    place = text.rindex('"resp_') + 1
    await ask(http, path, "And?", previous_response_id=text[place : text.index('"', place)])


@PATHS
async def test_an_unknown_answer(http: aiohttp.ClientSession, path: str):
    """It is refused, streamed or not; so is one that wasn't to be stored."""
    unstored = await ask(http, path, "Hello", store=False)
    for known in ("resp_none", unstored.get("id", "resp_none")):
        for stream in (False, True):
            refused = await ask(http, path, "And?", 400, previous_response_id=known, stream=stream)
            assert refused["error"]["code"] == "previous_response_not_found"


async def test_a_tools_result_continues_its_call(http: aiohttp.ClientSession):
    """The call is recalled, and only its result is sent."""
    parameters = {"type": "object", "properties": {"command": {"type": "string"}}}
    tools = [{"type": "function", "name": "Bash", "parameters": parameters}]
    first = await ask(http, "/v1/responses", 'Bash {"command": "date"}', tools=tools)
    [call] = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Monday"}
    second = await ask(http, "/v1/responses", [result], tools=tools, previous_response_id=first["id"])
    assert 'The tool gave "Monday".' in second["output"][0]["content"][0]["text"]
