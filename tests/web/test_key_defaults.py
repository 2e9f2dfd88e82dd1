"""What a key's own default model and parameters fill in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.household import (
    CHAT,
    EMBEDDING,
    HELLO,
    KEYED,
    LLM,
    OTHER_LLM,
    OWNER,
    ask,
    household,
    make_key,
)
from tests.support.upstream import ScriptedUpstream

EMBEDDINGS = "/v1/embeddings"
ACTIVE = {"temperature": 0.1, "topK": 1, "topP": 0.1}
PROFILES: dict[str, Any] = {"models": {"mine": {"aliases": ["my own"], "defaults": {"topK": 2, "topP": 0.2}}}}


async def activate(gateway: Gateway, model_key: str, kind: str, **more: object) -> None:
    body = {"modelKey": model_key, "type": kind, **more}
    assert (await ask(gateway, OWNER, "/admin/models/activate", body)).status == 200


@pytest.mark.parametrize(
    ("default", "sent", "got"),
    [
        # The key's model and parameters, then its profile's; nothing of the active model's.
        ("mine", {}, {"model": "mine", "temperature": 0.3, "top_k": 2, "top_p": 0.2}),
        ("mine", {"model": ""}, {"model": "mine", "temperature": 0.3, "top_k": 2, "top_p": 0.2}),
        # An alias is sent as its model's key.
        ("my own", {}, {"model": "mine", "temperature": 0.3, "top_k": 2, "top_p": 0.2}),
        # Where the client names a model, the active one's parameters come last.
        ("mine", {"model": "other"}, {"model": "other", "temperature": 0.3, "top_k": 1, "top_p": 0.1}),
        ("mine", {"model": "mine"}, {"model": "mine", "temperature": 0.3, "top_k": 2, "top_p": 0.2}),
        (None, {}, {"model": "active", "temperature": 0.3, "top_k": 1, "top_p": 0.1}),
        (
            "mine",
            {"temperature": 1, "top_k": None},
            {"model": "mine", "temperature": 1, "top_k": None, "top_p": 0.2},
        ),
    ],
)
async def test_parameters_come_field_by_field(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    default: str | None,
    sent: dict[str, object],
    got: dict[str, object],
) -> None:
    """The client's, else the key's, else the profile's of the model, else the active model's."""
    gateway = await start_gateway(upstream.base_url, **KEYED, **PROFILES)
    await activate(gateway, "active", "llm", defaultInference=ACTIVE)
    own = {} if default is None else {"model": default}
    key = await make_key(gateway, **own, defaultInference={"temperature": 0.3})
    assert (await ask(gateway, key, CHAT, sent)).status == 200
    assert json.loads(upstream.last.body) == got


@pytest.mark.parametrize(
    ("default", "path", "model"),
    [
        ("mine", CHAT, "mine"),
        ("mine", EMBEDDINGS, "active embedding"),
        ("text-embedding-mine", CHAT, "active"),
        ("text-embedding-mine", EMBEDDINGS, "text-embedding-mine"),
    ],
)
async def test_a_default_model_is_filled_in_on_paths_of_its_kind(
    start_gateway: StartGateway, upstream: ScriptedUpstream, default: str, path: str, model: str
) -> None:
    """Guessed from its name as long as LM Studio hasn't listed it."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    await activate(gateway, "active", "llm")
    await activate(gateway, "active embedding", "embedding")
    key = await make_key(gateway, model=default, defaultInference={"temperature": 0.3})
    await ask(gateway, key, path, {})
    filled = {"model": model, **({"temperature": 0.3} if path == CHAT else {})}
    assert json.loads(upstream.last.body) == filled


@pytest.mark.parametrize("models", [["*"], ["bge-*", LLM]])
async def test_the_type_that_lm_studio_lists_decides(start_gateway: StartGateway, models: list[str]) -> None:
    """An embedding model needs no prefix in its name."""
    async with household(start_gateway) as home:
        home.simulator.catalogue.add({"type": "embedding", "modelKey": "bge-m3"})
        key = await home.key(models=models, model="bge-m3")
        reply = await home.ask(key, EMBEDDINGS, {"input": "x"})
        assert (reply.status, reply.json["model"]) == (200, "bge-m3")
        await home.activate(LLM)
        assert (await home.ask(key, CHAT, HELLO)).json["model"] == LLM


async def test_a_limited_key_without_a_model_of_the_kind_is_asked_to_name_one(
    start_gateway: StartGateway,
) -> None:
    async with household(start_gateway) as home:
        key = await home.key(models=[LLM], model=LLM)
        reply = await home.ask(key, EMBEDDINGS, {"input": "x"})
        assert (reply.status, "Name a model" in reply.json["error"]["message"]) == (400, True)
        await home.activate(EMBEDDING)
        assert (await home.ask(key, EMBEDDINGS, {"input": "x"})).code == "model_not_allowed"


@pytest.mark.parametrize(
    ("model", "status"), [(LLM, 201), ("gpt-4o", 201), ("mine", 201), (OTHER_LLM, 400), ("big", 400)]
)
async def test_a_default_model_outside_the_globs_is_a_mistake(
    start_gateway: StartGateway, model: str, status: int
) -> None:
    """By the key of the model that the name refers to."""
    tables = {"models": {LLM: {"aliases": ["gpt-4o"]}, OTHER_LLM: {"aliases": ["big"]}}}
    async with household(start_gateway, **tables) as home:
        home.simulator.load(LLM, "mine")
        body = {"name": "kid", "models": ["qwen*", "big"], "model": model}
        reply = await home.ask(OWNER, "/admin/keys", body)
        assert reply.status == status
        if status == 400:
            assert reply.json["details"][0]["path"] == "model"
