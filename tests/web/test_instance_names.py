"""What LM Studio is asked for is the instance that has the slot."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lmgateway.boxes.box import Box
from lmgateway.simulator import Simulator, Switches
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.web.state import FLEET, SCHEDULER
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.household import CHAT, HELLO, KEYED, LLM, OWNER, ask, household
from tests.support.studio import running_studio
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk
from tests.support.waiting import PATIENCE_SECONDS, until

KEY, INSTANCE, EMBEDDING, EMBEDDING_INSTANCE = "pub/key", "mine", "pub/embed", "mine-too"
LISTED = [
    {"key": KEY, "type": "llm", "variants": ["pub/key@q4"], "loaded_instances": [{"id": INSTANCE}]},
    {"key": EMBEDDING, "type": "embedding", "loaded_instances": [{"id": EMBEDDING_INSTANCE}]},
    {"key": "pub/away", "type": "llm", "loaded_instances": []},
]
REST = b'"n":[1.0,1E+2],"s":"caf\\u00e9","h":"\\ud83d","pad":"%s"'
MIB = 1024**2
PADDINGS = [0, 80_000, 3_000_000]
SENT_BY = sorted(set(DIALECTS) - {"/v1/messages/count_tokens"})


async def lists(request: Received, reader: Any, writer: Any) -> None:
    body = json.dumps({"models": LISTED}) if request.target == "/api/v1/models" else '{"data":[]}'
    await answer(body.encode() if request.method == "GET" else b"{}")(request, reader, writer)


@pytest.fixture
async def start(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Start a gateway that has just looked what LM Studio has in memory, and can load its models."""
    monkeypatch.setattr(Box, "is_unmanageable", False)
    monkeypatch.setattr(Box, "has_residency", lambda _box, config: config.keeps_models)

    async def started(**tables: Any) -> Gateway:
        upstream.script = lists
        gateway = await start_gateway(upstream.base_url, **KEYED, **tables)
        await gateway.app[FLEET].boxes.main.list_models()
        await asyncio.sleep(0)
        return gateway

    return started


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (b'"pub/key"', b'"mine"'),
        (rb'"pub\/key"', b'"mine"'),
        (b'"pub/key@q4"', b'"mine"'),
        (b'"gpt-4o"', b'"mine"'),
        (b'"mine"', b'"mine"'),
        (rb'"\u006dine"', rb'"\u006dine"'),
        (b"7", b"7"),
    ],
    ids=["key", "escaped", "variant", "alias", "its own", "its own, escaped", "no text"],
)
async def test_the_body_gets_the_instances_name(
    start: Any, upstream: ScriptedUpstream, name: bytes, sent: bytes, padding: int
) -> None:
    """Everything else keeps its bytes; a body that names it already keeps all."""
    gateway = await start(models={KEY: {"aliases": ["gpt-4o"]}})
    body = b'{"a":1,"model":%s,' + REST % (b"x" * padding) + b"}"
    assert (await ask(gateway, OWNER, CHAT, body % name)).status == 200
    assert upstream.posts[-1].body == body % sent


@pytest.mark.parametrize("path", SENT_BY)
async def test_every_api_names_it(start: Any, upstream: ScriptedUpstream, path: str) -> None:
    gateway = await start()
    is_embedding = DIALECTS[path].model_type == "embedding"
    named, sent = (EMBEDDING, EMBEDDING_INSTANCE) if is_embedding else (KEY, INSTANCE)
    await ask(gateway, OWNER, path, {"model": named, "input": "Hello"})
    assert json.loads(upstream.posts[-1].body) == {"model": sent, "input": "Hello"}


@pytest.mark.parametrize("padding", PADDINGS)
async def test_what_was_filled_in_names_it_too(start: Any, upstream: ScriptedUpstream, padding: int) -> None:
    """The active model, with its parameters; the client's bytes stay."""
    gateway = await start()
    active = {"modelKey": KEY, "defaultInference": {"topK": 7}}
    assert (await ask(gateway, OWNER, "/admin/models/activate", active)).status == 200
    rest = REST % (b"x" * padding)
    await ask(gateway, OWNER, CHAT, b"{%s}" % rest)
    assert upstream.posts[-1].body == b'{"model":"mine","top_k":7,%s}' % rest


async def test_a_body_without_a_model_names_the_only_one(start: Any, upstream: ScriptedUpstream) -> None:
    """LM Studio may have loaded another one until the request arrives there."""
    gateway = await start()
    await ask(gateway, OWNER, CHAT, b'{"model":"","a":1.0}')
    assert upstream.posts[-1].body == b'{"model":"mine","a":1.0}'


@pytest.mark.parametrize("off", [{"residency": {"enabled": False}}, {"queue": {"enabled": False}}])
async def test_without_residency_the_name_stays(start: Any, upstream: ScriptedUpstream, off: Any) -> None:
    gateway = await start(**off)
    for body in ({"model": KEY}, {}):
        await ask(gateway, OWNER, CHAT, body)
        assert json.loads(upstream.posts[-1].body) == body


async def test_every_round_of_a_mended_request_names_it(start: Any, upstream: ScriptedUpstream) -> None:
    """The first one, the mended one, and one that is mended before it is sent."""
    gateway = await start()
    refusal = {"error": "'response_format.type' must be 'json_schema' or 'text'"}

    async def script(request: Received, reader: Any, writer: Any) -> None:
        refused = b'"json_object"}' in request.body
        if refused:
            await answer(json.dumps(refusal).encode(), status="400 Bad Request")(request, reader, writer)
        else:
            await lists(request, reader, writer)

    upstream.script = script
    for padding in (0, 80_000):
        body = {"model": KEY, "response_format": {"type": "json_object"}, "pad": "x" * padding}
        reply = await ask(gateway, OWNER, CHAT, body)
        assert (reply.status, reply.headers["X-Mended"]) == (200, "json_object")
    sent = [json.loads(request.body) for request in upstream.posts]
    assert [body["model"] for body in sent] == [INSTANCE] * 3
    kinds = [body["response_format"]["type"] for body in sent]
    assert kinds == ["json_object", "json_schema", "json_schema"]


@pytest.mark.parametrize("member", [b'"model":"pub/key",', b""], ids=["replaced", "filled in"])
async def test_the_body_is_freed_when_lm_studio_answers(
    start: Any, upstream: ScriptedUpstream, member: bytes
) -> None:
    """Neither the client's nor the one that was sent is in memory while the response is relayed."""
    gateway, more = await start(), asyncio.Event()
    sent = b""

    async def script(request: Received, _reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        sent, request.body = request.body[:100], b""
        writer.write(STREAM_HEAD + chunk(b"data: {}\n\n"))
        await more.wait()
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    upstream.script = script
    body = io.BytesIO(b'{%s"stream":true,"pad":"%s"}' % (member, b"x" * 8 * MIB))
    fields = {**OWNER, "Content-Type": "application/json"}
    tracemalloc.start()
    try:
        async with gateway.client.post(gateway.url(CHAT), data=body, headers=fields) as response:
            assert await response.content.readany() == b"data: {}\n\n"
            assert b'"model":"mine"' in sent
            assert tracemalloc.get_traced_memory()[0] < 2 * MIB
            more.set()
            await response.read()
    finally:
        tracemalloc.stop()


async def test_the_books_have_the_model_that_was_asked_for(start_gateway: StartGateway) -> None:
    """An instance of it isn't another model, whatever its name is."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM, "of-my-own")
        await home.gateway.app[FLEET].boxes.main.list_models()
        await asyncio.sleep(0)
        reply = await home.ask(OWNER, CHAT, {"model": LLM, **HELLO})
        assert (reply.status, reply.json["model"]) == (200, "of-my-own")
        [row] = (await home.ask(OWNER, "/debug/requests")).json["recent"]
        assert (row["model"], row["servedModel"]) == (LLM, None)
        rows = (await home.ask(OWNER, "/admin/usage?by=model")).json["rows"]
        assert [row["model"] for row in rows] == [LLM]


@asynccontextmanager
async def two_instances(start_gateway: StartGateway, gate: Gate) -> AsyncIterator[tuple[Gateway, Simulator]]:
    simulator = Simulator(pace=gate, switches=Switches(parallel=1, unified_kv_cache=False))
    for name in ("one", "two"):
        simulator.load(LLM, name)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, **KEYED)
        await gateway.app[FLEET].boxes.main.list_models()
        await asyncio.sleep(0)
        yield gateway, simulator


async def test_each_request_goes_to_the_instance_whose_slot_it_has(start_gateway: StartGateway) -> None:
    """Also one that has waited for it, so none waits inside LM Studio."""
    gate = Gate(holds="prompt")
    async with two_instances(start_gateway, gate) as (gateway, simulator):
        asked = [asyncio.create_task(ask(gateway, OWNER, CHAT, {"model": LLM, **HELLO})) for _ in range(6)]
        occupancy = simulator.ledger.occupancy
        await until(lambda: (occupancy.running, len(gateway.app[SCHEDULER].line.waiting)) == (2, 4))
        gate.opened.set()
        replies = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_SECONDS)
        assert [reply.status for reply in replies] == [200] * 6
        assert {reply.json["model"] for reply in replies} == {"one", "two"}
        assert (occupancy.most_running, occupancy.most_queued) == (2, 0)
