"""LM Studio's lists of models, for a key that may not use all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmgateway.simulator import Switches
from tests.conftest import StartGateway
from tests.support.household import EMBEDDING, KEYED, LLM, OTHER_LLM, OWNER, Key, ask, household, make_key
from tests.support.upstream import Received, ScriptedUpstream, answer

OPENAI, OLDER, NEWER = "/v1/models", "/api/v0/models", "/api/v1/models"
SPELLINGS = {
    OPENAI: ["/v1/models", "/models", "/v1/v1/models", "/v1//models", "/v1/%6dodels", "/v1/models?x=1"],
    OLDER: ["/api/v0/models", "//api/v0//models"],
    NEWER: ["/api/v1/models", "//api/v1/models", "/api/v1/mode%6cs"],
}


def names(path: str, shown: Any) -> list[str]:
    return (
        [entry["key"] for entry in shown["models"]] if path == NEWER else [one["id"] for one in shown["data"]]
    )


@pytest.mark.parametrize(
    ("path", "spelling"), [(path, spelling) for path, all_of in SPELLINGS.items() for spelling in all_of]
)
async def test_the_lists_leave_out_what_is_not_allowed(
    start_gateway: StartGateway, path: str, spelling: str
) -> None:
    """Of each API, in any spelling of its path; instances follow their models, whatever they are called."""
    async with household(start_gateway) as home:
        home.simulator.load(LLM, "mine")
        home.simulator.load(OTHER_LLM, "qwen2.5-7b-disguised")
        kid = await home.key(models=["qwen2.5-7b-*"])
        everything, reply = (await home.ask(OWNER, path)).json, await home.ask(kid, spelling)
        part = reply.json
        expected = [LLM] if path == NEWER else [LLM, "mine"]
        assert names(path, part) == expected
        assert OTHER_LLM in names(path, everything)
        assert OTHER_LLM not in reply.body.decode()
        assert "disguised" not in reply.body.decode()
        member = "models" if path == NEWER else "data"
        kept = names(path, part)
        # `created` is when LM Studio was asked.
        assert [one | {"created": 0} for one in part[member]] == [
            one | {"created": 0}
            for one, name in zip(everything[member], names(path, everything), strict=True)
            if name in kept
        ]
        assert part.get("object") == everything.get("object")
        head = await home.ask(kid, spelling, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        for each in (reply, head):
            assert each.headers["Content-Length"] == str(len(reply.body))
            assert "ETag" not in each.headers


async def test_an_identifier_of_another_model_is_left_out(start_gateway: StartGateway) -> None:
    """It would answer by that name, though an allowed model has it as its key."""
    async with household(start_gateway) as home:
        home.simulator.load(OTHER_LLM, LLM)
        kid = await home.key(models=[LLM])
        assert names(OPENAI, (await home.ask(kid, OPENAI)).json) == []
        [entry] = (await home.ask(kid, NEWER)).json["models"]
        assert entry["loaded_instances"] == []


async def test_aliases_are_not_listed(start_gateway: StartGateway) -> None:
    async with household(start_gateway, models={LLM: {"aliases": ["gpt-4o"]}}) as home:
        for key in (OWNER, await home.key(models=[LLM])):
            for path in SPELLINGS:
                assert "gpt-4o" not in (await home.ask(key, path)).body.decode()


@pytest.mark.parametrize("path", SPELLINGS)
async def test_a_conditional_request_is_answered_in_full(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str
) -> None:
    """LM Studio isn't told what the client has: its ETag is that of the whole list."""
    upstream.script = by_path
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["good"])
    conditions = {
        "If_None_Match": "*",
        "Range": "bytes=0-5",
        "If_Modified_Since": "x",
        "Accept_Encoding": "br",
    }
    reply = await ask(gateway, kid, path, **conditions)
    assert (reply.status, names(path, reply.json)) == (200, ["good"])
    assert not {"ETag", "Last-Modified", "Content-MD5"} & {*reply.headers}
    assert reply.headers["X-Of-LM-Studio"] == "kept"
    sent = upstream.last
    for name in ("If-None-Match", "Range", "If-Modified-Since"):
        assert sent.all(name) == []
    assert sent.one("Accept-Encoding") == "identity"


LISTS: dict[str, bytes] = {
    OPENAI: b'{"data":[{"id":"good","n":1.0},{"id":"bad"},7,{"x":"good"}],"object":"list","more":[1.10]}',
    OLDER: b'{"data":[{"id":"good","n":1.0,"type":"llm"},{"id":"bad"}],"more":[1.10]}',
    NEWER: b'{"more":[1.10], "models":[{"key":"bad"},{"key":"good","n":1.0,"x":"\\ud83d"}]}',
}
EXTRA = 'ETag: W/"1"\r\nLast-Modified: x\r\nContent-MD5: x\r\nX-Of-LM-Studio: kept\r\n'


async def by_path(request: Received, reader: Any, writer: Any) -> None:
    body = LISTS.get(request.target.partition("?")[0], b'{"error":"none"}')
    await answer(body, extra=EXTRA)(request, reader, writer)


@pytest.mark.parametrize("spelling", ["/v1/MODELS", "/v1/Models/", "/api/v0/moDels", "/api/v1/MODELS?x"])
async def test_the_case_of_a_path_does_not_matter(
    start_gateway: StartGateway, upstream: ScriptedUpstream, spelling: str
) -> None:
    """LM Studio's router ignores it."""

    async def script(request: Received, reader: Any, writer: Any) -> None:
        path = request.target.partition("?")[0].rstrip("/").lower()
        await answer(LISTS[path], extra=EXTRA)(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["good"])
    reply = await ask(gateway, kid, spelling)
    assert (reply.status, b"bad" in reply.body, b"good" in reply.body) == (200, False, True)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (OPENAI, b'{"data":[{"id":"good","n":1.0}],"object":"list","more":[1.10]}'),
        (OLDER, b'{"data":[{"id":"good","n":1.0,"type":"llm"}],"more":[1.10]}'),
        (NEWER, b'{"more":[1.10],"models":[{"key":"good","n":1.0,"x":"\\ud83d"}]}'),
    ],
)
async def test_other_members_survive(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, shown: bytes
) -> None:
    """With the spelling of their numbers, and halves of characters; an entry without a name is left out."""
    upstream.script = by_path
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["goo?"])
    assert (await ask(gateway, kid, path)).body == shown


@pytest.mark.parametrize("path", SPELLINGS)
async def test_everybody_else_gets_the_list_byte_for_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str
) -> None:
    """With its ETag, and without another request."""
    upstream.script = by_path
    gateway = await start_gateway(upstream.base_url, **KEYED)
    for key in (OWNER, await make_key(gateway, models=["*"])):
        reply = await ask(gateway, key, path, If_None_Match="x")
        assert (reply.body, reply.headers["ETag"]) == (LISTS[path], 'W/"1"')
        assert upstream.last.one("If-None-Match") == "x"
    assert len(upstream.received) == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"no json", ""),
        (b"[]", ""),
        (b'{"data":{}}', ""),
        (b'{"object":"list"}', ""),
        (b'{"data":[]}', "Content-Encoding: gzip\r\n"),
        (b'{"data":[{"id":"\xff"}]}', ""),
    ],
)
async def test_an_answer_that_cannot_be_parsed_is_502(
    start_gateway: StartGateway, upstream: ScriptedUpstream, body: bytes, fields: str
) -> None:
    """What can't be read can't be filtered."""

    async def script(request: Received, reader: Any, writer: Any) -> None:
        if request.all("X-Odd"):
            await answer(body, extra=fields)(request, reader, writer)
        else:
            await by_path(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["good"])
    reply = await ask(gateway, kid, OPENAI, X_Odd="1")
    assert (reply.status, reply.code) == (502, "upstream_broke")


async def test_an_error_of_lm_studio_passes(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    async def script(request: Received, reader: Any, writer: Any) -> None:
        if request.all("X-Odd"):
            await answer(b'{"error":"no"}', status="401 Unauthorized", extra=EXTRA)(request, reader, writer)
        else:
            await by_path(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["good"])
    reply = await ask(gateway, kid, OPENAI, X_Odd="1")
    assert (reply.status, reply.json) == (401, {"error": "no"})


@pytest.mark.parametrize("prefix", ["/v1/models/", "/api/v0/models/", "/models/", "/v1//models/"])
async def test_a_model_is_shown_if_it_is_allowed(start_gateway: StartGateway, prefix: str) -> None:
    """With slashes in its name, escaped or not."""
    async with household(start_gateway) as home:
        home.simulator.load(OTHER_LLM, "qwen/disguised")
        kid: Key = await home.key(models=["qwen/*"])
        for name in ("qwen/qwen3-8b", "qwen%2Fqwen3-8b"):
            reply = await home.ask(kid, prefix + name)
            assert (reply.status, reply.json["id"]) == (200, "qwen/qwen3-8b")
        for name in (OTHER_LLM, OTHER_LLM.replace("l", "%6c"), "qwen/disguised", "qwen%2fdisguised/"):
            reply = await home.ask(kid, prefix + name)
            assert (reply.status, reply.headers["X-Refused-Reason"]) == (403, "model_not_allowed")
            assert (await home.ask(kid, prefix + name, method="HEAD")).status == 403
        for name in ("qwen/unknown", OTHER_LLM.replace("l", "%256c")):
            reply = await home.ask(kid, prefix + name)
            assert (reply.status, OTHER_LLM in reply.body.decode()) == (404, False)


async def test_the_lists_of_a_server_without_lm_studios_own(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Only OpenAI's list exists there."""

    async def script(request: Received, reader: Any, writer: Any) -> None:
        known = request.target == OPENAI
        body = b'{"data":[{"id":"good"},{"id":"bad"}]}' if known else b"none"
        await answer(body, status="200 OK" if known else "404 Not Found")(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, **KEYED)
    kid = await make_key(gateway, models=["good"])
    assert names(OPENAI, (await ask(gateway, kid, OPENAI)).json) == ["good"]
    assert (await ask(gateway, kid, "/v1/chat/completions", {"model": "bad"})).status == 403
    assert json.loads(upstream.last.body or b"{}") == {}


async def test_an_embedding_model_is_listed_like_any_other(start_gateway: StartGateway) -> None:
    async with household(start_gateway, Switches(jit=False)) as home:
        home.simulator.load(EMBEDDING)
        home.simulator.load(LLM)
        kid = await home.key(models=["text-embedding-*"])
        for path in SPELLINGS:
            assert names(path, (await home.ask(kid, path)).json) == [EMBEDDING]
