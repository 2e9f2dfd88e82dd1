"""The models that requests name, where the gateway decides which models are in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from lmgateway.boxes import catalogue
from lmgateway.scheduling.runs import Run
from lmgateway.scheduling.scheduler import Scheduler
from lmgateway.scheduling.slots import Lease
from lmgateway.scheduling.tickets import Ticket
from lmgateway.schema.models import ActiveModel
from lmgateway.simulator import Switches
from lmgateway.web.state import ACTIVE_MODELS, FLEET
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.household import (
    CHAT,
    EMBEDDING,
    HELLO,
    KEYED,
    LLM,
    NATIVE,
    OTHER_LLM,
    OWNER,
    RESPONSES,
    Household,
    ask,
    household,
)
from tests.support.raw_server import raw_server
from tests.support.upstream import Received, ScriptedUpstream, answer, silent

EMBEDDINGS, MESSAGES = "/v1/embeddings", "/v1/messages"
BODIES = {
    CHAT: HELLO,
    "/v1/completions": {"prompt": "Hello", "max_tokens": 5},
    RESPONSES: {"input": "Hello", "max_output_tokens": 5},
    MESSAGES: HELLO,
    NATIVE: {"input": "Hello", "max_output_tokens": 5},
    "/api/v0/chat/completions": HELLO,
    "/api/v0/completions": {"prompt": "Hello", "max_tokens": 5},
    EMBEDDINGS: {"input": "Hello"},
    "/api/v0/embeddings": {"input": "Hello"},
}
ALIASES = {"models": {LLM: {"aliases": ["gpt-4o", "gpt-*"]}}}
OFF = {"enabled": False}

Went = list[tuple[str, str | None]]
"""The key of each request's model, and the only instance that may answer."""


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> Went:
    """Where the requests go that join the line."""
    seen: Went = []
    begin: Callable[[Scheduler, Run, Ticket], Lease | None] = Scheduler.begin

    def record(scheduler: Scheduler, run: Run, ticket: Ticket) -> Lease | None:
        seen.append((ticket.model, ticket.instance))
        return begin(scheduler, run, ticket)

    monkeypatch.setattr(Scheduler, "begin", record)
    return seen


def posts(home: Household) -> list[str]:
    """The paths of the requests that LM Studio got to run a model."""
    return [request.split()[1] for request in home.studio.requests if request.startswith("POST")]


@pytest.mark.parametrize("path", BODIES)
async def test_a_name_that_is_nowhere_is_404(start_gateway: StartGateway, path: str) -> None:
    """With the nearest ones of its type, in the path's shape; LM Studio picks no other model."""
    near = EMBEDDING if path.endswith("embeddings") else LLM
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        home.simulator.load(EMBEDDING)
        reply = await home.ask(OWNER, path, {**BODIES[path], "model": f"{near}-x"})
        assert reply.status == 404
        error = reply.json["error"]
        assert f"LM Studio has no model {near}-x. The nearest: {near}" in error["message"]
        assert (OTHER_LLM in error["message"]) is (near == LLM)
        assert error["type" if path == MESSAGES else "code"] == (
            "not_found_error" if path == MESSAGES else "model_not_found"
        )
        assert posts(home) == []


async def test_a_name_that_is_like_none_says_where_the_models_are_listed(
    start_gateway: StartGateway,
) -> None:
    """A message without an empty list."""
    async with household(start_gateway) as home:
        reply = await home.ask(OWNER, CHAT, {**HELLO, "model": "§§"})
        assert reply.json["error"]["message"] == "LM Studio has no model §§. GET /v1/models lists its models."


async def test_a_key_sees_only_the_near_names_that_it_may_use(start_gateway: StartGateway) -> None:
    """And a model outside its globs is refused, whether or not it is in memory."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        kid = await home.key(models=[OTHER_LLM])
        reply = await home.ask(kid, CHAT, {**HELLO, "model": "qwen2.5-7b-instruct-llama"})
        assert (reply.status, reply.code) == (404, "model_not_found")
        assert f"The nearest it may use: {OTHER_LLM}." in reply.json["error"]["message"]
        assert (await home.ask(kid, CHAT, {**HELLO, "model": LLM})).code == "model_not_allowed"


async def test_with_residency_off_lm_studio_judges_the_name(start_gateway: StartGateway) -> None:
    """As it is, without a look at the lists."""
    async with household(start_gateway, residency=OFF) as home:
        reply = await home.ask(OWNER, CHAT, {**HELLO, "model": "nowhere"})
        assert (reply.status, posts(home)) == (400, [CHAT])
        assert "Invalid model identifier" in reply.json["error"]["message"]


async def test_a_request_goes_to_the_key_of_its_model(start_gateway: StartGateway, went: Went) -> None:
    """Whichever of its names was sent; an identifier binds it to that instance."""
    async with household(start_gateway, **ALIASES) as home:
        home.simulator.load(LLM, "mine")
        path = home.simulator.catalogue.get(LLM).path
        for name in (LLM, path, "gpt-4o", "gpt-5", "mine", OTHER_LLM):
            assert (await home.ask(OWNER, CHAT, {**HELLO, "model": name})).status in {200, 400}
    assert went == [(LLM, None)] * 4 + [(LLM, "mine"), (OTHER_LLM, None)]


async def test_a_key_goes_to_the_instance_of_that_name(start_gateway: StartGateway, went: Went) -> None:
    """Also by an alias, and if the instance's model is another one."""
    async with household(start_gateway, **ALIASES) as home:
        home.simulator.load(OTHER_LLM, LLM)
        for name in (LLM, "gpt-4o"):
            assert (await home.ask(OWNER, CHAT, {**HELLO, "model": name})).json["model"] == LLM
    assert went == [(OTHER_LLM, LLM)] * 2


async def test_what_has_come_since_the_last_look_is_found(start_gateway: StartGateway, went: Went) -> None:
    """Without waiting until that look is 5 s old."""
    async with household(start_gateway) as home:
        assert (await home.ask(OWNER, CHAT, {**HELLO, "model": LLM})).status == 200
        home.simulator.load(OTHER_LLM, "new")
        home.simulator.catalogue.add({"modelKey": "pub/added", "path": "pub/added.gguf"})
        for name in ("new", "pub/added.gguf", "pub/added"):
            assert (await home.ask(OWNER, CHAT, {**HELLO, "model": name})).status != 404
    assert went[1:3] == [(OTHER_LLM, "new"), ("pub/added", None)]
    assert went[3][0] == "pub/added"


async def test_an_old_look_is_renewed_before_the_request_goes_on(
    start_gateway: StartGateway, went: Went
) -> None:
    """Somebody has unloaded the instance meanwhile; a fresh look is used as it is."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        for _ in range(3):
            assert (await home.ask(OWNER, CHAT, {**HELLO, "model": LLM})).status == 200
        assert home.studio.requests.count("GET /api/v1/models") == 1
        home.simulator.memory.unload(LLM)
        home.gateway.app[FLEET].boxes.main.catalogue.expire()
        assert (await home.ask(OWNER, CHAT, {**HELLO, "model": LLM})).status == 200
    assert went == [(LLM, LLM)] * 3 + [(LLM, None)]


# ── The active model ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", [None, "", "mine"])
async def test_the_active_models_own_instance_keeps_its_name(
    start_gateway: StartGateway, went: Went, model: str | None
) -> None:
    """While it isn't loaded too, for a request without a model and one that names it."""
    async with household(start_gateway) as home:
        await home.activate(LLM, instanceId="mine")
        await home.ask(OWNER, CHAT, {**HELLO, "model": model})
        if home.simulator.memory.find("mine", "llm") is None:
            home.simulator.load(LLM, "mine")
        assert (await home.ask(OWNER, CHAT, {**HELLO, "model": model})).json["model"] == "mine"
    assert went == [(LLM, "mine")] * 2


async def test_only_the_active_models_instance_has_a_name_while_it_is_gone(
    start_gateway: StartGateway,
) -> None:
    """Of its type; any other name of an instance is one that is nowhere."""
    async with household(start_gateway) as home:
        await home.activate(LLM, instanceId="mine")
        for path, name in ((CHAT, "other"), (EMBEDDINGS, "mine")):
            assert (await home.ask(OWNER, path, {**BODIES[path], "model": name})).status == 404


async def test_a_model_comes_before_a_gone_instance_of_its_name(
    start_gateway: StartGateway, went: Went
) -> None:
    """Unless the request leaves it to the gateway, which means the active model."""
    async with household(start_gateway) as home:
        await home.activate(LLM, instanceId=OTHER_LLM)
        for model in (OTHER_LLM, None):
            await home.ask(OWNER, CHAT, {**HELLO, "model": model})
            home.simulator.memory.unload(OTHER_LLM)
            home.gateway.app[FLEET].boxes.main.catalogue.expire()
    assert went == [(OTHER_LLM, None), (LLM, OTHER_LLM)]


async def test_an_active_model_that_is_gone_from_the_disk_is_404(start_gateway: StartGateway) -> None:
    """LM Studio would answer with another one, or refuse the request as one that names no model."""
    async with household(start_gateway) as home:
        await home.gateway.app[ACTIVE_MODELS].activate("llm", ActiveModel(model_key="gone"))
        reply = await home.ask(OWNER, CHAT, HELLO)
        assert (reply.status, reply.code, posts(home)) == (404, "model_not_found", [])


async def test_the_default_model_of_a_key_goes_before_the_active_one(
    start_gateway: StartGateway, went: Went
) -> None:
    """On paths of its type only, from the first request on."""
    async with household(start_gateway) as home:
        home.simulator.load(EMBEDDING)
        await home.activate(LLM)
        embedder = await home.key("embedder", model=EMBEDDING)
        await home.ask(embedder, CHAT, HELLO)
        assert (await home.ask(embedder, EMBEDDINGS, {"input": "x"})).status == 200
    assert went == [(LLM, None), (EMBEDDING, EMBEDDING)]


async def test_without_any_model_lm_studio_decides(start_gateway: StartGateway, went: Went) -> None:
    """The only one in memory answers."""
    async with household(start_gateway, Switches(jit=False)) as home:
        home.simulator.load(LLM, "mine")
        assert (await home.ask(OWNER, CHAT, HELLO)).status == 200  # the line hasn't seen the list yet
        await home.gateway.app[FLEET].boxes.main.list_models()
        assert (await home.ask(OWNER, CHAT, HELLO)).json["model"] == "mine"
    assert went[-1] == (LLM, "mine")


# ── What isn't a name of a model of this type ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "name"), [(CHAT, EMBEDDING), (EMBEDDINGS, LLM)])
async def test_a_model_of_the_other_type_is_not_loaded(
    start_gateway: StartGateway, path: str, name: str
) -> None:
    """One that is in memory LM Studio itself refuses, with the same status."""
    async with household(start_gateway) as home:
        reply = await home.ask(OWNER, path, {**BODIES[path], "model": name})
        assert (reply.status, reply.code, posts(home)) == (400, "bad_request", [])
        assert f"The model {name} is" in reply.json["error"]["message"]
        home.simulator.load(name)
        home.gateway.app[FLEET].boxes.main.catalogue.expire()
        reply = await home.ask(OWNER, path, {**BODIES[path], "model": name})
        assert (reply.status, posts(home)) == (400, [path])
        assert "is not of the expected type" in reply.body.decode()


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        (rb'"\ud83d"', (400, "bad_request")),
        (b'"' + b"x" * 70_000 + b'"', (404, "model_not_found")),
    ],
)
async def test_a_name_that_no_model_can_have_is_refused(
    start_gateway: StartGateway, name: bytes, refusal: tuple[int, str]
) -> None:
    """LM Studio would answer with any model."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        reply = await home.ask(OWNER, CHAT, b'{"messages":[],"model":%s}' % name)
        assert ((reply.status, reply.code), posts(home)) == (refusal, [])


async def test_a_model_that_is_no_text_is_lm_studios_to_refuse(start_gateway: StartGateway) -> None:
    async with household(start_gateway) as home:
        reply = await home.ask(OWNER, CHAT, {**HELLO, "model": 7})
        assert (reply.status, posts(home)) == (400, [CHAT])


# ── An LM Studio that can't be asked, and servers that aren't one ──────────────────────────────────────────


async def test_without_lm_studio_its_last_lists_count(start_gateway: StartGateway, went: Went) -> None:
    """A known name goes on, and meets what a request meets; it can't be said that another is nowhere."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        assert (await home.ask(OWNER, CHAT, {**HELLO, "model": LLM})).status == 200
        await home.studio.stop()
        home.gateway.app[FLEET].boxes.main.catalogue.expire()
        for name in (LLM, "nowhere"):
            reply = await home.ask(OWNER, CHAT, {**HELLO, "model": name})
            assert (reply.status, reply.code) == (503, "upstream_unavailable")
            assert "Check that it runs" in reply.json["error"]["message"]
    assert went == [(LLM, LLM)] * 2


@asynccontextmanager
async def scripted(
    start_gateway: StartGateway, greeting: bytes = b'{"lmstudio":true}'
) -> AsyncIterator[tuple[Gateway, ScriptedUpstream]]:
    """A server that greets so and has one model in memory; the gateway isn't kept from asking it."""
    native = {
        "key": "pub/key",
        "type": "llm",
        "variants": ["pub/key@q4"],
        "loaded_instances": [{"id": "instance"}],
    }
    gets = {
        "/lmstudio-greeting": greeting,
        "/api/v1/models": json.dumps({"models": [native]}).encode(),
        "/v1/models": b'{"data":[]}',
    }

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(gets.get(request.target, b"{}"))(request, reader, writer)

    upstream = ScriptedUpstream(script)
    async with raw_server(upstream.serve_connection) as upstream.port:
        yield await start_gateway(upstream.base_url, **KEYED), upstream


async def test_a_variant_goes_to_its_model(start_gateway: StartGateway, went: Went) -> None:
    """LM Studio lists both under one key."""
    async with scripted(start_gateway) as (gateway, upstream):
        assert (await ask(gateway, OWNER, CHAT, {"model": "pub/key@q4"})).status == 200
        assert (await ask(gateway, OWNER, CHAT, {"model": "pub/key@q8"})).status == 404
        assert len(upstream.posts) == 1
    assert went == [("pub/key", None)]


async def test_a_list_that_hangs_holds_up_no_known_name(
    start_gateway: StartGateway, went: Went, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request waits for it as long as it may take, those after it not at all."""
    async with scripted(start_gateway) as (gateway, upstream):
        assert (await ask(gateway, OWNER, CHAT, {"model": "pub/key"})).status == 200
        lists = upstream.script

        async def hangs(
            request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await (silent if request.method == "GET" else lists)(request, reader, writer)

        upstream.script = hangs
        gateway.app[FLEET].boxes.main.catalogue.expire()
        monkeypatch.setattr(catalogue, "REFRESH_SECONDS", 0.05)
        assert (await ask(gateway, OWNER, CHAT, {"model": "pub/key"})).status == 200
        monkeypatch.setattr(catalogue, "REFRESH_SECONDS", 60.0)
        async with asyncio.timeout(5):
            assert (await ask(gateway, OWNER, CHAT, {"model": "pub/key"})).status == 200
        monkeypatch.setattr(catalogue, "REFRESH_SECONDS", 0.05)
        gateway.app[FLEET].boxes.main.catalogue.expire()  # so the refresh that began with 60 s isn't joined
        assert (await ask(gateway, OWNER, CHAT, {"model": "nowhere"})).code == "upstream_unavailable"
    assert went == [("pub/key", None)] * 3


@pytest.mark.parametrize("name", ["pub/key", "nowhere"])
async def test_a_server_that_is_not_lm_studio_judges_the_name(start_gateway: StartGateway, name: str) -> None:
    """From the first request on."""
    async with scripted(start_gateway, greeting=b'{"error":"Unexpected endpoint"}') as (gateway, upstream):
        for _ in range(2):
            assert (await ask(gateway, OWNER, CHAT, {"model": name})).status == 200
        assert [json.loads(post.body)["model"] for post in upstream.posts] == [name] * 2


async def test_a_server_without_lists_judges_the_name(start_gateway: StartGateway) -> None:
    """It isn't LM Studio, so it doesn't matter that its models can't be listed."""
    upstream = ScriptedUpstream()  # answers {} to anything
    async with raw_server(upstream.serve_connection) as upstream.port:
        gateway = await start_gateway(upstream.base_url, **KEYED)
        assert (await ask(gateway, OWNER, CHAT, {"model": "nowhere"})).status == 200
