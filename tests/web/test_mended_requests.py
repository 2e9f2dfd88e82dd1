"""Requests that LM Studio refuses in known words: sent once more, mended, and at once the next time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lmgateway.errors import UpstreamUnavailable
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import Received, Script, ScriptedUpstream, answer

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
CHOICE_REFUSED = {
    "error": "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
}
FORMAT_REFUSED = {"error": "'response_format.type' must be 'json_schema' or 'text'"}
SCHEMA_ISSUE = {
    "code": "invalid_type",
    "path": [0, "function", "parameters", "properties"],
    "message": "Required",
}
SCHEMA_REFUSED: dict[str, object] = {"error": json.dumps([SCHEMA_ISSUE])}
TYPES_REFUSED = {
    "error": {
        "message": "Invalid discriminator value. Expected 'function' | 'mcp'",
        "type": "invalid_request_error",
        "param": "tools.1.type",
        "code": "invalid_union_discriminator",
    }
}
SCHEMA = {"type": "object", "properties": {}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("one", "two")]
WITH_CHOICE = {
    "model": "m",
    "messages": [],
    "tools": TOOLS,
    "tool_choice": {"type": "function", "function": {"name": "two"}},
}
WITH_FORMAT = {"model": "m", "messages": [], "response_format": {"type": "json_object"}}


def refusing(**refusals: dict[str, object]) -> Script:
    """Refuse what has a member of this name that isn't mended; answer the rest."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.loads(request.body)
        for name, refusal in refusals.items():
            asked = body.get(name)
            is_mended = any(part in str(asked) for part in ("json_schema", "properties"))
            if asked not in (None, "required") and not is_mended:
                await answer(json.dumps(refusal).encode(), status="400 Bad Request")(request, reader, writer)
                return
        await answer(b'{"choices": []}')(request, reader, writer)

    return script


async def ask(gateway: Gateway, path: str, body: object) -> tuple[int, str | None, Any]:
    """Return the status, X-Mended and the body of the answer."""
    async with gateway.client.post(gateway.url(path), json=body) as response:
        return response.status, response.headers.get("X-Mended"), await response.json()


async def test_a_refused_request_is_sent_once_more_and_then_known(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """The client sees only the answer; the next request of this kind isn't refused any more."""
    upstream.script = refusing(tool_choice=CHOICE_REFUSED)
    gateway = await start_gateway(upstream.base_url)
    assert await ask(gateway, CHAT, WITH_CHOICE) == (200, "tool_choice", {"choices": []})
    sent = json.loads(upstream.last.body)
    assert (sent["tool_choice"], sent["tools"]) == ("required", [TOOLS[1]])
    assert len(upstream.received) == 2
    assert await ask(gateway, CHAT, WITH_CHOICE) == (200, "tool_choice", {"choices": []})
    assert len(upstream.received) == 3


async def test_what_one_model_refused_says_nothing_about_another(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Nor about a request that has nothing to mend, whose bytes stay."""
    upstream.script = refusing(tool_choice=CHOICE_REFUSED)
    gateway = await start_gateway(upstream.base_url)
    await ask(gateway, CHAT, WITH_CHOICE)
    upstream.script = answer(b"{}")
    assert await ask(gateway, CHAT, WITH_CHOICE | {"model": "other"}) == (200, None, {})
    assert json.loads(upstream.last.body) == WITH_CHOICE | {"model": "other"}
    untouched = b'{"model" : "m",  "messages":[], "n":1.0}'
    async with gateway.client.post(gateway.url(CHAT), data=untouched) as response:
        assert "X-Mended" not in response.headers
    assert upstream.last.body == untouched


async def test_two_refusals_of_one_request(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Each is mended once, in three rounds."""
    upstream.script = refusing(tool_choice=CHOICE_REFUSED, response_format=FORMAT_REFUSED)
    gateway = await start_gateway(upstream.base_url)
    assert await ask(gateway, CHAT, WITH_CHOICE | WITH_FORMAT) == (
        200,
        "tool_choice, json_object",
        {"choices": []},
    )
    assert len(upstream.received) == 3


async def test_a_third_refusal_is_mended_at_the_next_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Mends that are known already take no round."""
    upstream.script = refusing(
        tool_choice=CHOICE_REFUSED, response_format=FORMAT_REFUSED, tools=SCHEMA_REFUSED
    )
    gateway = await start_gateway(upstream.base_url)
    body = WITH_CHOICE | WITH_FORMAT | {"tools": [{"type": "function", "function": {"name": "two"}}]}
    status, named, _ = await ask(gateway, CHAT, body)
    assert (status, named) == (400, "tool_choice, json_object")
    status, named, _ = await ask(gateway, CHAT, body)
    assert (status, named) == (200, "tool_choice, json_object, tool_schema")
    assert len(upstream.received) == 3 + 2


async def test_a_mended_request_that_overflows_is_still_booked_as_mended(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """The error in place of LM Studio's answer names the mends too."""
    refuse = refusing(tool_choice=CHOICE_REFUSED)
    too_long = answer(b'{"error": "Context size has been exceeded."}', status="400 Bad Request")

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (too_long if b"required" in request.body else refuse)(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    status, named, body = await ask(gateway, CHAT, WITH_CHOICE)
    assert (status, named, body["error"]["code"]) == (400, "tool_choice", "context_length_exceeded")
    async with gateway.client.get(gateway.url("/debug/requests")) as response:
        assert (await response.json())["recent"][-1]["mended"] == ["tool_choice"]


async def test_a_mended_request_that_is_refused_again_gets_the_refusal(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Nothing is mended twice."""
    upstream.script = answer(json.dumps(CHOICE_REFUSED).encode(), status="400 Bad Request")
    gateway = await start_gateway(upstream.base_url)
    assert await ask(gateway, CHAT, WITH_CHOICE) == (400, "tool_choice", CHOICE_REFUSED)
    assert len(upstream.received) == 2


async def test_tool_types_of_codex(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Those that LM Studio doesn't know are left out."""
    function = {"type": "function", "name": "shell", "parameters": SCHEMA}

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        types = [tool["type"] for tool in json.loads(request.body)["tools"]]
        if types == ["function"]:
            await answer(b'{"status": "completed"}')(request, reader, writer)
        else:
            await answer(json.dumps(TYPES_REFUSED).encode(), status="400 Bad")(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    body = {"model": "m", "input": "Hi", "tools": [function, {"type": "web_search"}]}
    assert await ask(gateway, RESPONSES, body) == (200, "tool_types", {"status": "completed"})


@pytest.mark.parametrize("status", ["422 Unprocessable", "500 Failed", "200 OK"])
async def test_only_the_known_refusal_is_mended(
    start_gateway: StartGateway, upstream: ScriptedUpstream, status: str
) -> None:
    """The sentence counts with status 400 only."""
    upstream.script = answer(json.dumps(CHOICE_REFUSED).encode(), status=status)
    gateway = await start_gateway(upstream.base_url)
    assert await ask(gateway, CHAT, WITH_CHOICE) == (int(status[:3]), None, CHOICE_REFUSED)
    assert len(upstream.received) == 1


async def test_nothing_is_sent_again_if_the_configuration_says_so(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """compat.mend = false leaves the refusal as it comes."""
    upstream.script = refusing(tool_choice=CHOICE_REFUSED)
    gateway = await start_gateway(upstream.base_url, compat={"mend": False})
    assert await ask(gateway, CHAT, WITH_CHOICE) == (400, None, CHOICE_REFUSED)
    assert len(upstream.received) == 1


async def test_token_numbers_for_embeddings_get_advice(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """They can't be mended, so the error says what LangChain's users set."""
    refusal = {"error": "'input' field must be a string or an array of strings"}
    upstream.script = answer(json.dumps(refusal).encode(), status="400 Bad Request")
    gateway = await start_gateway(upstream.base_url)
    status, _, body = await ask(gateway, "/v1/embeddings", {"model": "m", "input": [[1, 2]]})
    assert status == 400
    assert "check_embedding_ctx_length=False" in body["error"]["message"]


async def test_the_books_say_what_was_mended(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """The event of the end names the mends, where there were any, and /debug/requests always."""
    upstream.script = refusing(tool_choice=CHOICE_REFUSED)
    gateway = await start_gateway(upstream.base_url)
    await ask(gateway, CHAT, WITH_FORMAT)
    await ask(gateway, CHAT, WITH_CHOICE)
    async with gateway.client.get(gateway.url("/debug/requests")) as response:
        rows = (await response.json())["recent"]
    assert [row["mended"] for row in rows] == [[], ["tool_choice"]]
    url = gateway.url("/debug/stream?types=inference_complete")
    ended: list[dict[str, object]] = []
    async with asyncio.timeout(5), gateway.client.get(url, headers={"Last-Event-ID": "0"}) as response:
        async for line in response.content:
            if line.startswith(b"data: ") and b"requestId" in line:
                ended.append(json.loads(line.removeprefix(b"data: ")))
            if len(ended) == 2:
                break
    assert ["mended" in event for event in ended] == [False, True]
    assert ended[1]["mended"] == ["tool_choice"]


async def test_what_was_refused_is_forgotten_when_lm_studio_was_away(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It may have been updated since."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = refusing(tool_choice=CHOICE_REFUSED)
    await ask(gateway, CHAT, WITH_CHOICE)
    box = gateway.app[FLEET].boxes.main
    box.health.record(UpstreamUnavailable("away"), box.http.base_url)
    upstream.script = answer(b"{}")
    assert await ask(gateway, CHAT, WITH_CHOICE) == (200, None, {})
