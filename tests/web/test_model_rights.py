"""Which models a key may use, whatever they are called."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from lmgateway.simulator import Switches
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
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
    ask,
    household,
    make_key,
)
from tests.support.upstream import ScriptedUpstream, answer

ALIASES = {"models": {LLM: {"aliases": ["gpt-4o", "gpt-*"]}, OTHER_LLM: {"aliases": ["kid/*", "big"]}}}
NO_RESIDENCY = {"enabled": False}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: HELLO,
    "/v1/completions": {"prompt": "Hello", "max_tokens": 5},
    RESPONSES: {"input": "Hello", "max_output_tokens": 5},
    "/v1/messages": HELLO,
    "/v1/messages/count_tokens": HELLO,
    NATIVE: {"input": "Hello", "max_output_tokens": 5},
    "/api/v0/chat/completions": HELLO,
    "/api/v0/completions": {"prompt": "Hello", "max_tokens": 5},
    "/chat/completions": HELLO,
    "/v1//chat%2Fcompletions/": HELLO,
}


async def test_a_model_outside_the_globs_is_refused(start_gateway: StartGateway) -> None:
    """On each path and spelling of it, and LM Studio gets no request for it."""
    async with household(start_gateway) as home:
        home.simulator.load(OTHER_LLM)
        kid = await home.key(models=["qwen2.5-7b-*"])
        for path, body in BODIES.items():
            reply = await home.ask(kid, path, {**body, "model": OTHER_LLM})
            assert reply.status == 403, path
            assert reply.headers["X-Refused-Reason"] == "model_not_allowed"
            assert "kid" in reply.json["error"]["message"]
            assert OTHER_LLM in reply.json["error"]["message"]
            assert reply.json["error"]["type"] == "permission_error"
        assert {request.split()[0] for request in home.studio.requests} == {"GET"}
        assert home.studio.upgrades == {}


async def test_a_model_inside_the_globs_answers(start_gateway: StartGateway) -> None:
    """Also under an alias, its path of the SDK's list, and the identifier of its instance."""
    async with household(start_gateway, **ALIASES) as home:
        instance = home.simulator.load(LLM, "its-own-name")
        kid = await home.key(models=["qwen2.5-7b-*"])
        for path in (path for path in BODIES if "%2F" not in path):
            for name in (LLM, "its-own-name", "gpt-4o", "gpt-5"):
                reply = await home.ask(kid, path, {**BODIES[path], "model": name})
                assert reply.status == 200, (path, reply.body)
        assert [one.identifier for one in home.simulator.memory.instances()] == [instance.identifier]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/models/unload", {"modelKey": LLM}),
        ("/api/v1/models/unload", {"instance_id": LLM}),
    ],
)
async def test_an_unload_through_the_gateway_counts_at_once(
    start_gateway: StartGateway, path: str, body: dict[str, Any]
) -> None:
    """Without loading on demand LM Studio would answer with the other model that is in memory.

    With residency the gateway would load it again.
    """
    async with household(start_gateway, Switches(jit=False), residency=NO_RESIDENCY) as home:
        home.simulator.load(LLM)
        home.simulator.load(OTHER_LLM)
        kid = await home.key(models=[LLM])
        assert (await home.ask(kid, CHAT, {**HELLO, "model": LLM})).status == 200
        assert (await home.ask(OWNER, path, body)).status == 200
        assert (await home.ask(kid, CHAT, {**HELLO, "model": LLM})).status == 404


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("name", [LLM, "qwen2.5-7b-mine"])
async def test_an_identifier_that_looks_like_an_allowed_key_opens_nothing(
    start_gateway: StartGateway, jit: bool, name: str
) -> None:
    """LM Studio would answer with the instance of this name, so its model counts."""
    async with household(start_gateway, Switches(jit=jit)) as home:
        home.simulator.load(OTHER_LLM, name)
        kid = await home.key(models=["qwen2.5-7b-*"])
        reply = await home.ask(kid, CHAT, {**HELLO, "model": name})
        assert (reply.status, reply.code) == (403, "model_not_allowed")


@pytest.mark.parametrize("name", ["big", "kid/qwen2.5-7b-x", OTHER_LLM])
async def test_an_alias_opens_nothing(start_gateway: StartGateway, name: str) -> None:
    """Its model's key counts, also if the alias itself matches a glob."""
    async with household(start_gateway, **ALIASES) as home:
        kid = await home.key(models=["qwen2.5-7b-*", "kid/*", "big"])
        reply = await home.ask(kid, CHAT, {**HELLO, "model": name})
        assert (reply.status, reply.code) == (403, "model_not_allowed")


async def test_an_alias_of_a_key_that_another_models_instance_has_opens_nothing(
    start_gateway: StartGateway,
) -> None:
    async with household(start_gateway, **ALIASES) as home:
        home.simulator.load(OTHER_LLM, LLM)
        kid = await home.key(models=[LLM])
        reply = await home.ask(kid, CHAT, {**HELLO, "model": "gpt-4o"})
        assert (reply.status, reply.code) == (403, "model_not_allowed")


UNKNOWN = (
    "unknown",
    "qwen2.5-7b-instruct:9",
    f"{LLM}@q4",
    f" {LLM}",
    f"{LLM}/",
    LLM.upper(),
    "qwen2.5-7b-\u0000",
)


@pytest.mark.parametrize("jit", [True, False])
async def test_a_name_that_lm_studio_does_not_have_is_404(start_gateway: StartGateway, jit: bool) -> None:
    """LM Studio would answer it with any model in memory. The nearest names are only allowed ones."""
    async with household(start_gateway, Switches(jit=jit)) as home:
        home.simulator.load(OTHER_LLM)
        kid = await home.key(models=["qwen2.5-7b-*", f"{LLM}*"])
        for name in UNKNOWN:
            reply = await home.ask(kid, CHAT, {**HELLO, "model": name})
            assert (reply.status, reply.code) == (404, "model_not_found"), name
            assert OTHER_LLM not in reply.body.decode()
            if LLM in name:
                assert f"The nearest it may use: {LLM}." in reply.json["error"]["message"]


async def test_without_loading_on_demand_a_model_that_is_not_in_memory_is_404(
    start_gateway: StartGateway,
) -> None:
    """LM Studio would answer with the one that is. With residency the gateway would load it."""
    async with household(start_gateway, Switches(jit=False), residency=NO_RESIDENCY) as home:
        home.simulator.load(OTHER_LLM)
        kid = await home.key(models=[LLM])
        assert (await home.ask(kid, CHAT, {**HELLO, "model": LLM})).code == "model_not_found"
        home.simulator.load(LLM)
        reply = await home.ask(kid, CHAT, {**HELLO, "model": LLM})  # looked up once more
        assert (reply.status, reply.json["model"]) == (200, LLM)


@pytest.mark.parametrize("jit", [True, False])
async def test_a_model_of_another_type_is_404(start_gateway: StartGateway, jit: bool) -> None:
    """LM Studio would embed with any embedding model in memory."""
    async with household(start_gateway, Switches(jit=jit)) as home:
        home.simulator.load(LLM)
        home.simulator.load(EMBEDDING)
        kid = await home.key(models=[LLM])
        reply = await home.ask(kid, "/v1/embeddings", {"input": "x", "model": LLM})
        assert (reply.status, reply.code) == (404, "model_not_found")
        reply = await home.ask(kid, "/v1/embeddings", {"input": "x", "model": EMBEDDING})
        assert (reply.status, reply.code) == (403, "model_not_allowed")


@pytest.mark.parametrize("model", [7, True, {}, [LLM]])
async def test_a_model_that_is_no_string_is_400(start_gateway: StartGateway, model: object) -> None:
    """For other callers LM Studio judges it."""
    async with household(start_gateway) as home:
        kid = await home.key(models=[LLM])
        reply = await home.ask(kid, CHAT, {**HELLO, "model": model})
        assert (reply.status, reply.code) == (400, "bad_request")
        assert (await home.ask(kid, CHAT, b'{"model":"\\ud83d"}')).status == 400


@pytest.mark.parametrize("model", [None, "", "absent"])
async def test_no_model_is_the_active_one_if_it_is_allowed(
    start_gateway: StartGateway, model: str | None
) -> None:
    """Else it is refused; without an active one the error says to name one."""
    body = {**HELLO, "model": model} if model != "absent" else HELLO
    async with household(start_gateway) as home:
        kid = await home.key(models=[LLM])
        reply = await home.ask(kid, CHAT, body)
        assert (reply.status, "Name a model" in reply.json["error"]["message"]) == (400, True)
        await home.activate(LLM)
        assert (await home.ask(kid, CHAT, body)).json["model"] == LLM
        await home.activate(OTHER_LLM)
        assert (await home.ask(kid, CHAT, body)).code == "model_not_allowed"
        await home.activate(LLM, instanceId="named")
        home.simulator.load(OTHER_LLM, "named")
        assert (await home.ask(kid, CHAT, body)).code == "model_not_allowed"


async def test_a_default_model_that_is_not_allowed_any_more_is_refused(start_gateway: StartGateway) -> None:
    """An instance of another model may have taken its name since the key was made."""
    async with household(start_gateway) as home:
        kid = await home.key(models=[LLM], model=LLM)
        assert (await home.ask(kid, CHAT, HELLO)).json["model"] == LLM
        home.simulator.memory.unload(LLM)
        home.simulator.load(OTHER_LLM, LLM)
        await home.gateway.app[FLEET].boxes.main.list_models()
        assert (await home.ask(kid, CHAT, HELLO)).code == "model_not_allowed"


@pytest.mark.parametrize("lists", [b"{}", b"", b'{"error":"Unexpected endpoint or method."}'])
async def test_a_list_that_cannot_be_read_lets_nobody_through(
    start_gateway: StartGateway, upstream: ScriptedUpstream, lists: bytes
) -> None:
    """It may be that the name is another model's."""
    upstream.script = answer(lists)
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["*-instruct"])
    reply = await ask(gateway, kid, CHAT, {**HELLO, "model": LLM})
    assert (reply.status, reply.code) == (503, "upstream_unavailable")
    assert {request.method for request in upstream.received} == {"GET"}


@pytest.mark.parametrize("body", [b'{"model":"any"}', b"{}", b"", b"no json", b'{"model":7}'])
async def test_nothing_is_looked_up_for_a_caller_who_may_use_all(
    start_gateway: StartGateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    """The request is forwarded byte for byte, and no other is made."""
    gateway = await start_gateway(upstream.base_url, **KEYED, **ALIASES)
    everything = await make_key(gateway, models=["*"], scopes=["inference", "tools"])
    for key in (OWNER, everything):
        assert (await ask(gateway, key, CHAT, body)).status == 200
        assert upstream.last.body == body
    assert [request.target for request in upstream.received] == [CHAT, CHAT]


OPAQUE = [
    (b"", "application/json"),
    (b"[]", "application/json"),
    (b'{"model":', "application/json"),
    (f'{{"model":"{LLM}"}}'.encode("utf-16"), "application/json; charset=utf-16"),
    (f'{{"model":"{LLM}"}}'.encode(), "application/json; charset=utf-7"),
    (f'{{"model":"{LLM}"}}'.encode(), 'application/json; charset="utf-8"; charset=utf-7'),
    (f'{{"model":"{LLM}"}}'.encode(), "application/x-www-form-urlencoded"),
    (b"--b\r\n\r\n--b--", "multipart/form-data; boundary=b"),
]


async def test_a_body_that_cannot_be_judged_is_for_those_who_may_everything(
    start_gateway: StartGateway,
) -> None:
    """Others get a 400 that says what to send."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM)
        for name, models, scopes in (("a", LLM, ["inference", "tools"]), ("b", "*", ["inference"])):
            key = await home.key(name, models=[models], scopes=scopes)
            for body, content_type in OPAQUE:
                reply = await home.ask(key, CHAT, body, Content_Type=content_type)
                assert reply.status == 400, (body, content_type)
                assert "UTF-8" in reply.json["error"]["message"]
        assert not [request for request in home.studio.requests if request.startswith("POST")]


async def test_a_compressed_body_is_judged_as_well(start_gateway: StartGateway) -> None:
    async with household(start_gateway) as home:
        kid = await home.key(models=[LLM])
        body = gzip.compress(b'{"model":"%s"}' % OTHER_LLM.encode())
        reply = await home.ask(kid, CHAT, body, Content_Encoding="gzip")
        assert reply.code == "model_not_allowed"


REPEATED = [
    (rb'{"model":"%s","mod\u0065l":"%s"}' % (LLM.encode(), OTHER_LLM.encode()), 403),
    (b'{"model":"%s","model":"%s"}' % (OTHER_LLM.encode(), LLM.encode()), 400),
    (b'\xef\xbb\xbf{"model":"%s","x":"\\ud83d"}' % OTHER_LLM.encode(), 403),
    (b'{"model":"qwen2.5-7b-%s"}' % (b"x" * 500), 404),
    (b'{"model":"qwen2.5-7b-%s"}' % (b"x" * 5000), 400),
]


@pytest.mark.parametrize("spaces", [0, 80_000, 3_000_000])
async def test_the_last_of_repeated_members_counts(start_gateway: StartGateway, spaces: int) -> None:
    """As it does for LM Studio, in whatever spelling and however long the body is."""
    async with household(start_gateway) as home:
        kid = await home.key(models=["qwen2.5-7b-*"])
        for body, status in REPEATED:
            reply = await home.ask(kid, CHAT, body + b" " * spaces)
            # 400 is LM Studio's own: the request has no messages.
            assert reply.status == status, body
