"""A response belongs to the key whose request got it: another key can't continue it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lmgateway.web.state import RESPONSE_IDS
from tests.conftest import StartGateway
from tests.support.household import KEYED, LLM, NATIVE, OWNER, RESPONSES, Reply, ask, household, make_key
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk

BODIES: dict[str, dict[str, Any]] = {
    RESPONSES: {"model": LLM, "input": "Hello"},
    NATIVE: {"model": LLM, "input": "Hello"},
}


def id_of(path: str, reply: Reply, *, stream: bool) -> str:
    shown = reply.json if not stream else events_in(reply.body)[-1]
    if stream:
        shown = shown["response"] if path == RESPONSES else shown["result"]
    found: str = shown["id" if path == RESPONSES else "response_id"]
    return found


def events_in(body: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_only_the_same_key_continues_a_response(
    start_gateway: StartGateway, path: str, stream: bool
) -> None:
    """For every other one, the owner's too, it doesn't exist; an unknown one is for LM Studio to judge."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        alice, bob = await home.key("alice"), await home.key("bob")
        body = {**BODIES[path], "stream": stream}
        response_id = id_of(path, await home.ask(alice, path, body), stream=stream)
        more = {**body, "previous_response_id": response_id}
        for key in (bob, OWNER):
            before = len(home.studio.requests)
            reply = await home.ask(key, path, more)
            assert (reply.status, reply.code) == (404, "previous_response_not_found")
            assert response_id not in reply.body.decode()
            assert len(home.studio.requests) == before
        assert (await home.ask(alice, path, more)).status == 200
        unknown = await home.ask(bob, path, {**body, "previous_response_id": "resp_unknown"})
        assert unknown.status != 200
        assert home.studio.requests[-1] == f"POST {path}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_response_has_the_tokens_of_its_conversation(
    start_gateway: StartGateway, path: str, stream: bool
) -> None:
    """Those of prompt and completion that LM Studio reported, when the client has all of the answer."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        alice = await home.key("alice")
        reply = await home.ask(alice, path, {**BODIES[path], "stream": stream})
        shown = reply.json if not stream else events_in(reply.body)[-1]
        if stream:
            shown = shown["response" if path == RESPONSES else "result"]
        usage = shown["usage" if path == RESPONSES else "stats"]
        total = usage["input_tokens"] + usage["output_tokens" if path == RESPONSES else "total_output_tokens"]
        assert total > 1
        ids = home.gateway.app[RESPONSE_IDS]
        assert ids.tokens(id_of(path, reply, stream=stream)) == total


async def test_a_long_answer_has_its_tokens_too(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Of a long body only the two ends are read: the id may be at one, and the usage at the other."""
    text = "x" * 300_000
    usage = {"input_tokens": 1000, "output_tokens": 234, "total_tokens": 1234}
    body = {"id": "resp_1", "model": "m", "output": [{"text": text}], "usage": usage}
    upstream.script = answer(json.dumps(body).encode())
    gateway = await start_gateway(upstream.base_url)
    reply = await ask(gateway, {}, RESPONSES, {"model": "m", "input": "x"})
    assert reply.status == 200
    assert gateway.app[RESPONSE_IDS].tokens("resp_1") == 1234


async def test_the_id_is_bound_before_the_client_has_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """The first event of a stream names it, long before the answer is complete."""
    end = asyncio.Event()

    async def script(_request: Received, _reader: object, writer: asyncio.StreamWriter) -> None:
        created = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
        event = f"event: response.created\ndata: {json.dumps(created)}\n\n"
        writer.write(STREAM_HEAD + chunk(event.encode()))
        await end.wait()
        writer.close()

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, **KEYED)
    alice, bob = await make_key(gateway, "alice"), await make_key(gateway, "bob")
    body = {"model": "m", "input": "x", "stream": True}
    async with gateway.client.post(gateway.url(RESPONSES), json=body, headers=alice) as response:
        assert b"resp_1" in await response.content.readany()
        reply = await ask(gateway, bob, RESPONSES, {**body, "previous_response_id": "resp_1"})
        assert reply.status == 404
        end.set()


@pytest.mark.parametrize(
    "spelled", ['"resp_1"', r'"\u0072esp_1"', r'"resp_2","previous_respons\u0065_id":"resp_1"']
)
@pytest.mark.parametrize("padding", [0, 80_000, 3_000_000])
async def test_no_spelling_of_an_id_evades_the_check(
    start_gateway: StartGateway, upstream: ScriptedUpstream, spelled: str, padding: int
) -> None:
    gateway = await start_gateway(upstream.base_url, **KEYED)
    gateway.app[RESPONSE_IDS].bind("resp_1", "alice", "lmstudio")
    bob = await make_key(gateway, "bob")
    padded = "x" * padding
    body = f'{{"model":"m","input":"{padded}","previous_response_id":{spelled}}}'
    assert (await ask(gateway, bob, RESPONSES, body.encode())).status == 404
    # Other APIs have no such member.
    assert (await ask(gateway, bob, "/v1/chat/completions", body.encode())).status == 200
