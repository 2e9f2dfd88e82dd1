"""LM Studio's own loads and unloads, sent through the gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmgateway.simulator import Switches
from tests.residency.conftest import OpenHouse
from tests.residency.house import EMBEDDING, LLM, OTHER, SIZES, House
from tests.support.keys import OWNER, bearer
from tests.support.waiting import PATIENCE_SECONDS

LOAD, UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"
PATH = "lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf"
ALIASES: dict[str, Any] = {"models": {LLM: {"aliases": ["the good one"]}}}


async def refused(house: House, path: str, body: object, **more: Any) -> tuple[int, str, str]:
    """Return an error's status, code and message, which are in the shape of OpenAI's API."""
    url = house.gateway.url(path)
    async with house.gateway.client.post(url, json=body, headers=bearer(OWNER), **more) as response:
        answer = await response.json()
        assert answer.keys() == {"error"}
        assert answer["error"].keys() == {"message", "type", "param", "code"}
        return response.status, answer["error"]["code"], answer["error"]["message"]


async def test_a_whole_life(open_house: OpenHouse) -> None:
    """The answers are LM Studio's; the instance is somebody's own, without a time to live."""
    async with open_house() as house:
        settings = {"context_length": 2048, "flash_attention": True, "eval_batch_size": 256}
        body = {"model": LLM, **settings, "echo_load_config": True}
        status, answer = await house.call("POST", LOAD, body)
        seconds = answer.pop("load_time_seconds")
        assert (status, answer.pop("load_config").items() >= settings.items()) == (200, True)
        assert answer == {"type": "llm", "instance_id": LLM, "status": "loaded"}
        assert 0 <= seconds < PATIENCE_SECONDS
        [instance] = house.simulator.memory.instances()
        assert (instance.context_length, instance.ttl_seconds, instance.origin) == (2048, None, "sdk")
        assert (await house.instances())[LLM]["origin"] == "loaded"
        assert (await house.call("GET", "/admin/models/active"))[1]["activeModel"] is None
        assert await house.call("POST", UNLOAD, {"instance_id": LLM}) == (200, {"instance_id": LLM})
        assert house.in_memory == []
        await house.until("model_unload_complete")
        names = [name for name, _ in house.seen if name not in {"connected", "model_load_progress"}]
        assert names == [
            "model_load_start",
            "model_load_complete",
            "model_unload_start",
            "model_unload_complete",
        ]


async def test_the_answer_is_lm_studios(open_house: OpenHouse) -> None:
    """Member for member, as the same LM Studio answers it itself."""
    answers = []
    for enabled in (False, True):
        async with open_house(residency={"enabled": enabled}) as house:
            status, answer = await house.call("POST", LOAD, {"model": LLM, "echo_load_config": True})
            assert (status, answer.pop("load_time_seconds") >= 0) == (200, True)
            answers.append(answer)
            assert house.loads == [(LLM, "loaded", "sdk" if enabled else "http")]
            assert (await house.call("POST", UNLOAD, {"instance_id": LLM}))[0] == 200
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", [LLM, PATH, f"{LLM}@q4_k_m", "the good one"])
async def test_any_name(open_house: OpenHouse, name: str) -> None:
    """Of a model, for both; the answers have the instance's."""
    async with open_house(**ALIASES) as house:
        variant = {"variants": [f"{LLM}@q4_k_m"], "selectedVariant": f"{LLM}@q4_k_m"}
        described = house.simulator.catalogue.description(house.simulator.on_disk(LLM))
        house.simulator.catalogue.add({**described, **variant})
        assert (await house.call("GET", "/admin/models"))[0] == 200
        status, answer = await house.call("POST", LOAD, {"model": name})
        assert (status, answer["instance_id"]) == (200, LLM)
        assert await house.call("POST", UNLOAD, {"instance_id": name}) == (200, {"instance_id": LLM})
        assert (len(house.loads), house.in_memory) == (1, [])


@pytest.mark.parametrize(
    "path",
    ["/api/v1/models/load/", "//api//v1/models/load", "/api/v1/MODELS/Load", "/api/v1/models/%6coad"],
)
async def test_any_spelling(open_house: OpenHouse, path: str) -> None:
    async with open_house() as house:
        assert (await house.call("POST", path, {"model": LLM}))[0] == 200
        assert house.loads == [(LLM, "loaded", "sdk")]


@pytest.mark.parametrize("first", ["request", "native"])
async def test_one_load_for_both(open_house: OpenHouse, first: str) -> None:
    async with open_house() as house:
        house.pace.stop(f"load {LLM}")
        if first == "request":
            asked = house.ask()
            await house.pace.reached(f"load {LLM}")
        loading = asyncio.create_task(house.call("POST", LOAD, {"model": LLM}))
        await house.pace.reached(f"load {LLM}")
        if first == "native":
            asked = house.ask()
            await house.until("request_queued")
        house.pace.go_on()
        assert (await asyncio.wait_for(loading, PATIENCE_SECONDS))[0] == 200
        assert (await asked.ended()).status == 200
        assert house.loads == [(LLM, "loaded", "sdk")]
        assert (await house.instances())[LLM]["origin"] == "loaded"


async def test_an_instance_that_is_there(open_house: OpenHouse) -> None:
    """It is the answer, unless it has other settings than the request asks for: 409."""
    async with open_house() as house:
        assert (await house.answer()).status == 200
        body = {"model": LLM, "context_length": 2048}
        status, code, message = await refused(house, LOAD, body)
        assert (status, code, "4,096" in message) == (409, "conflict", True)
        status, answer = await house.call("POST", LOAD, {"model": LLM})
        assert (status, answer["instance_id"], answer["load_time_seconds"]) == (200, LLM, 0)
        assert len(house.loads) == 1


async def test_an_unload_waits(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """For running answers, and then gives up; LM Studio itself would cut them off."""
    async with open_house() as house:
        house.pace.stop("token")
        streaming = house.stream()
        await streaming.begun()
        monkeypatch.setattr("lmgateway.web.native_models.USUAL_DRAIN_SECONDS", 0.05)
        status, code, message = await refused(house, UNLOAD, {"instance_id": LLM})
        assert (status, code, message.startswith("1 request still runs on")) == (409, "conflict", True)
        monkeypatch.undo()
        unloading = asyncio.create_task(house.call("POST", UNLOAD, {"instance_id": LLM}))
        await house.until("model_drain_start", times=2)
        house.pace.go_on()
        assert (await asyncio.wait_for(unloading, PATIENCE_SECONDS))[0] == 200
        assert (await streaming.ended()).body.endswith(b"[DONE]\n\n")


async def test_an_instance_by_its_models_name(open_house: OpenHouse) -> None:
    """If the model has only one. With two, a name that is none of theirs is a 404."""
    async with open_house() as house:
        house.simulator.load(LLM, "first")
        assert await house.call("POST", UNLOAD, {"instance_id": LLM}) == (200, {"instance_id": "first"})
        for name in ("first", "second"):
            house.simulator.load(LLM, name)
        assert (await refused(house, UNLOAD, {"instance_id": LLM}))[:2] == (404, "model_not_found")
        assert await house.call("POST", UNLOAD, {"instance_id": "second"}) == (200, {"instance_id": "second"})
        assert house.in_memory == ["first"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (LOAD, {}, "model: Required, and missing"),
        (LOAD, {"model": 7}, "model: Expected `str`, got `int`"),
        (LOAD, {"model": LLM, "context_length": 0}, "context_length: Expected `int` >= 1"),
        (
            LOAD,
            {"model": LLM, "contextLength": 1},
            "contextLength: Unknown field; did you mean context_length?",
        ),
        (LOAD, {"model": LLM, "flash_attention": 1, "ttl": 1}, "ttl: Unknown field; there are model, "),
        (LOAD, [], "Expected an object, got an array"),
        (UNLOAD, {"model": LLM}, "model: Unknown field; there are instance_id; instance_id: Required"),
    ],
)
async def test_a_bad_body(open_house: OpenHouse, path: str, body: object, message: str) -> None:
    """400 that names each field. LM Studio isn't asked."""
    async with open_house() as house:
        status, code, sentence = await refused(house, path, body)
        assert (status, code) == (400, "validation_failed")
        assert sentence.startswith(message)
        assert house.loads == []


async def test_what_isnt_json(open_house: OpenHouse) -> None:
    async with open_house() as house:
        url, headers = house.gateway.url(LOAD), bearer(OWNER)
        for kind, status in (("application/json", 400), ("text/plain", 415)):
            fields = {**headers, "Content-Type": kind}
            async with house.gateway.client.post(url, data=b"{", headers=fields) as response:
                assert response.status == status
                assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_an_unknown_model(open_house: OpenHouse) -> None:
    """404 with near names; and an instance that isn't there."""
    async with open_house() as house:
        status, code, message = await refused(house, LOAD, {"model": "qwen2.5-7b-instrukt"})
        assert (status, code, LLM in message) == (404, "model_not_found", True)
        assert (await refused(house, UNLOAD, {"instance_id": LLM}))[:2] == (404, "model_not_found")


async def test_no_memory(open_house: OpenHouse) -> None:
    """500 in LM Studio's words."""
    async with open_house(Switches(memory_bytes=SIZES[LLM] - 1)) as house:
        status, code, message = await refused(house, LOAD, {"model": LLM})
        assert (status, code) == (500, "out_of_memory")
        assert "insufficient system resources" in message


async def test_an_embedding_model(open_house: OpenHouse) -> None:
    """It has no flash attention, which is said."""
    async with open_house() as house:
        url, body = house.gateway.url(LOAD), {"model": EMBEDDING, "flash_attention": True}
        async with house.gateway.client.post(url, json=body, headers=bearer(OWNER)) as response:
            assert (response.status, response.headers["X-Ignored"]) == (200, "flash_attention")
            assert (await response.json())["type"] == "embedding"


async def test_the_scope(open_house: OpenHouse) -> None:
    """`models`, as for /admin."""
    async with open_house() as house:
        await house.know("guest")
        await house.know("helper", scopes=["models"])
        answer = await house.answer("guest", LLM, LOAD)
        assert (answer.status, answer.code) == (403, "scope_missing")
        assert (await house.answer("helper", LLM, LOAD)).status == 400  # a chat's body, but it is let in
        assert house.loads == []


async def test_downloads_are_forwarded(open_house: OpenHouse) -> None:
    async with open_house() as house:
        status, answer = await house.call("POST", "/api/v1/models/download", {"model": OTHER})
        assert (status, answer) == (200, {"status": "already_downloaded"})


async def test_without_residency_they_are_forwarded(open_house: OpenHouse) -> None:
    """LM Studio judges the body, too."""
    async with open_house(residency={"enabled": False}) as house:
        assert (await house.call("POST", LOAD, {"model": LLM}))[0] == 200
        assert house.loads == [(LLM, "loaded", "http")]
        assert await house.call("POST", UNLOAD, {"instance_id": LLM}) == (200, {"instance_id": LLM})
        await house.until("inference_start", times=2)
        assert [one["path"] for one in house.events("inference_start")] == [LOAD, UNLOAD]
