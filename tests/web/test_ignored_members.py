"""`context_length` in /api/v1/chat, which would load the model anew under everybody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lmgateway.simulator import Simulator
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.held_streams import KEEPALIVE_MS, held, stream_request, waiting
from tests.support.household import CHAT, KEYED, LLM, NATIVE, OWNER, ask, household
from tests.support.raw_client import raw_client
from tests.support.studio import running_studio
from tests.support.upstream import STREAM_HEAD, ScriptedUpstream, answer, chunk, raw

IGNORED = "X-Ignored"
MEMBER = "context_length"
ASKED = {"model": "m", "input": "Hello", MEMBER: 8192}


@pytest.mark.parametrize("padding", [0, 80_000, 3_000_000])
async def test_it_is_left_out_and_named(
    start_gateway: StartGateway, upstream: ScriptedUpstream, padding: int
) -> None:
    """Every other byte is the client's."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    rest = b'"model":"m","n":[1.0,1E+2],"h":"\\ud83d","input":"%s"' % (b"x" * padding)
    reply = await ask(gateway, OWNER, NATIVE, b'{"context_length":8192,%s}' % rest)
    assert (reply.status, reply.headers[IGNORED]) == (200, MEMBER)
    assert upstream.posts[-1].body == b"{%s}" % rest


async def test_the_model_answers_with_the_context_that_it_has(start_gateway: StartGateway) -> None:
    async with household(start_gateway) as home:
        instance = home.simulator.load(LLM)
        reply = await home.ask(OWNER, NATIVE, {**ASKED, "model": LLM})
        assert (reply.status, reply.json["model_instance_id"]) == (200, LLM)
        assert reply.headers[IGNORED] == MEMBER
        assert home.simulator.memory.instances("llm") == [instance]


@pytest.mark.parametrize(
    ("path", "body", "tables"),
    [
        (NATIVE, ASKED, {"residency": {"enabled": False}}),
        (NATIVE, ASKED, {"queue": {"enabled": False}}),
        (CHAT, ASKED, {}),
        (NATIVE, {"model": "m", "input": {MEMBER: 1}}, {}),
    ],
    ids=["without residency", "without the line", "another API", "not at the top"],
)
async def test_everything_else_goes_as_it_is(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    path: str,
    body: dict[str, object],
    tables: dict[str, Any],
) -> None:
    gateway = await start_gateway(upstream.base_url, **KEYED, **tables)
    reply = await ask(gateway, OWNER, path, body)
    assert (reply.status, IGNORED in reply.headers) == (200, False)
    assert json.loads(upstream.posts[-1].body) == body


async def test_a_stream_that_waits_names_it_in_its_early_head(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    upstream.script = held(gate, raw(STREAM_HEAD + chunk(b"data: {}\n\n") + chunk(b"")))
    gateway = await start_gateway(upstream.base_url, queue={"keepalive_ms": KEEPALIVE_MS})
    async with raw_client(gateway.port) as client:
        stream = await waiting(client, stream_request(NATIVE, context_length=8192))
        assert stream.head.one(IGNORED) == MEMBER
        gate.set()
        assert await stream.rest() == b"data: {}\n\n"


async def test_an_error_names_it_too(start_gateway: StartGateway) -> None:
    """Here LM Studio isn't there any more; the gateway's errors have the field once the body was read."""
    async with running_studio(Simulator()) as studio:
        studio.simulator.load(LLM, "m")
        gateway = await start_gateway(studio.base_url, **KEYED)
        await gateway.app[FLEET].boxes.main.list_models()
        await studio.stop()
        reply = await ask(gateway, OWNER, NATIVE, ASKED)
    assert (reply.status, reply.headers[IGNORED]) == (503, MEMBER)


async def test_the_error_of_a_request_that_waited_names_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It has waited for longer than allowed."""
    gate = asyncio.Event()
    upstream.script = held(gate, answer())
    profile = {"m": {"slots": 1}}
    gateway = await start_gateway(upstream.base_url, **KEYED, models=profile, queue={"max_wait_plain_ms": 20})
    first = asyncio.create_task(ask(gateway, OWNER, NATIVE, {"model": "m", "input": "Hello"}))
    await asyncio.wait_for(upstream.arrivals.get(), 5)
    reply = await ask(gateway, OWNER, NATIVE, ASKED)
    assert (reply.status, reply.headers[IGNORED]) == (429, MEMBER)
    gate.set()
    assert IGNORED not in (await first).headers


@pytest.mark.parametrize("padding", [0, 80_000])
async def test_several_of_them(start_gateway: StartGateway, upstream: ScriptedUpstream, padding: int) -> None:
    """All go from a short body; a long one, which may have millions, is refused."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    text = b'{"context_length":1,"input":"%s","context_length":2}' % (b"x" * padding)
    reply = await ask(gateway, OWNER, NATIVE, text)
    if padding:
        assert (reply.status, reply.json["error"]["message"]) == (
            400,
            "The body has more than one `context_length`.",
        )
        assert upstream.posts == []
    else:
        assert (reply.status, upstream.posts[-1].body) == (200, b'{"input":""}')
