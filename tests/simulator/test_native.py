"""LM Studio's own two REST APIs."""

import asyncio
import json

import aiohttp
import pytest

from lmgateway.simulator import Simulator

from .conftest import EMBEDDING, LLM, OTHER_LLM, ask


async def post(http: aiohttp.ClientSession, path: str, body: object, status: int = 200) -> dict[str, object]:
    async with http.post(path, json=body) as response:
        assert response.status == status
        return await response.json()


async def get(http: aiohttp.ClientSession, path: str) -> dict[str, object]:
    async with http.get(path) as response:
        assert response.status == 200
        return await response.json()


async def test_a_model_with_variants(simulator: Simulator, http: aiohttp.ClientSession):
    """They are listed with the one that is used."""
    names = {"variants": ["a/b@q4_k_m", "a/b@q8_0"], "selectedVariant": "a/b@q8_0"}
    simulator.catalogue.add({"modelKey": "a/b", **names})
    *others, listed = (await get(http, "/api/v1/models"))["models"]
    assert (listed["variants"], listed["selected_variant"]) == (names["variants"], "a/b@q8_0")
    assert not any("variants" in other or "selected_variant" in other for other in others)


async def test_v0_lists_states(simulator: Simulator, http: aiohttp.ClientSession):
    """Every model says whether it is loaded, and of which type it is."""
    simulator.load(LLM)
    simulator.load(LLM, "mine")
    listed = {model["id"]: model for model in (await get(http, "/api/v0/models"))["data"]}
    assert listed[LLM]["state"] == listed["mine"]["state"] == "loaded"
    assert listed[LLM]["loaded_context_length"] == 4096
    assert listed[OTHER_LLM]["state"] == "not-loaded"
    assert listed["qwen2.5-vl-7b-instruct"]["type"] == "vlm"
    assert listed[EMBEDDING]["type"] == "embeddings"
    assert (await get(http, f"/api/v0/models/{LLM}"))["max_context_length"] == 32768


async def test_v0_answers_have_figures(simulator: Simulator, http: aiohttp.ClientSession):
    """Answers carry stats and model_info; streams don't."""
    simulator.load(LLM)
    chat = await post(http, "/api/v0/chat/completions", ask(max_tokens=5))
    names = {"tokens_per_second", "time_to_first_token", "generation_time", "stop_reason"}
    assert set(chat["stats"]) == names
    assert chat["stats"]["stop_reason"] == "maxPredictedTokensReached"
    assert chat["model_info"]["context_length"] == 4096
    completion = await post(http, "/api/v0/completions", {"model": LLM, "prompt": "Once"})
    assert completion["stats"]["stop_reason"] == "eosFound"
    async with http.post("/api/v0/chat/completions", json=ask(max_tokens=5, stream=True)) as response:
        stream = await response.text()
    assert '"finish_reason":"length"' in stream
    assert '"stats"' not in stream


async def test_v0_embeddings(simulator: Simulator, http: aiohttp.ClientSession):
    """Embeddings are answered in OpenAI's shape."""
    simulator.load(EMBEDDING)
    answer = await post(http, "/api/v0/embeddings", {"model": EMBEDDING, "input": "one"})
    assert len(answer["data"][0]["embedding"]) == 768


async def test_v1_lists_instances(simulator: Simulator, http: aiohttp.ClientSession):
    """A model lists its instances with their settings."""
    simulator.load(LLM, "mine")
    listed = {model["key"]: model for model in (await get(http, "/api/v1/models"))["models"]}
    [instance] = listed[LLM]["loaded_instances"]
    assert instance["id"] == "mine"
    assert (instance["config"]["context_length"], instance["config"]["parallel"]) == (4096, 4)
    assert listed[EMBEDDING]["loaded_instances"] == []
    assert listed[LLM]["quantization"] == {"name": "Q4_K_M", "bits_per_weight": 4}
    assert listed[LLM]["architecture"] == "qwen2"
    assert {"architecture", "capabilities", "description"}.isdisjoint(listed[EMBEDDING])


async def test_mlx_models(simulator: Simulator, http: aiohttp.ClientSession):
    """Over HTTP their format is mlx, in the SDK's protocol safetensors; they can't shift a full context."""
    simulator.catalogue.add({"type": "llm", "modelKey": "m", "format": "safetensors"})
    assert (await get(http, "/api/v0/models/m"))["compatibility_type"] == "mlx"
    listed = {model["key"]: model["format"] for model in (await get(http, "/api/v1/models"))["models"]}
    assert listed["m"] == "mlx"
    assert simulator.catalogue.description(simulator.on_disk("m"))["format"] == "safetensors"
    async with http.post("/v1/completions", json={"model": "m", "prompt": "5000 words"}) as response:
        assert response.status == 400
        assert await response.json() == {"error": "Context size has been exceeded."}


async def test_v1_loads_and_unloads(simulator: Simulator, http: aiohttp.ClientSession):
    """The answer to a load has the settings, and an instance is unloaded by its id."""
    body = {"model": LLM, "context_length": 16384, "flash_attention": False, "echo_load_config": True}
    loaded = await post(http, "/api/v1/models/load", body)
    assert (loaded["type"], loaded["instance_id"], loaded["status"]) == ("llm", LLM, "loaded")
    assert loaded["load_config"]["context_length"] == 16384
    assert loaded["load_config"]["flash_attention"] is False
    assert loaded["load_time_seconds"] >= 0
    assert await post(http, "/api/v1/models/unload", {"instance_id": LLM}) == {"instance_id": LLM}
    assert simulator.memory.instances() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("load", {"model": "nope"}, 404, "model_not_found"),
        ("load", {}, 400, "invalid_request"),
        ("unload", {"instance_id": "nope"}, 404, "model_not_found"),
    ],
)
async def test_v1_refuses(http: aiohttp.ClientSession, path: str, body: object, status: int, kind: str):
    """Errors have a type that says what was wrong."""
    answer = await post(http, f"/api/v1/models/{path}", body, status)
    assert answer["error"]["type"] == kind


async def test_v1_downloads(http: aiohttp.ClientSession):
    """A download advances, ends, and its model is on disk then."""
    job = await post(http, "/api/v1/models/download", {"model": "ibm/granite-4-micro"})
    assert (job["status"], job["downloaded_bytes"]) == ("downloading", 0)
    status, path = job, f"/api/v1/models/download/status/{job['job_id']}"
    async with asyncio.timeout(5):
        while status["status"] == "downloading":
            status = await get(http, path)
    assert status["status"] == "completed"
    assert status["downloaded_bytes"] == status["total_size_bytes"]
    assert (await get(http, "/v1/models/ibm/granite-4-micro"))["id"] == "ibm/granite-4-micro"
    again = await post(http, "/api/v1/models/download", {"model": "ibm/granite-4-micro"})
    assert again == {"status": "already_downloaded"}


async def test_v1_unknown_download(http: aiohttp.ClientSession):
    """An unknown job is a 404."""
    async with http.get("/api/v1/models/download/status/job_0") as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "job_not_found"


async def test_v1_chat(simulator: Simulator, http: aiohttp.ClientSession):
    """Output, stats, and the time of a load that was needed first."""
    body = {"model": LLM, "input": "Hello", "system_prompt": "Be brief.", "max_output_tokens": 3}
    first = await post(http, "/api/v1/chat", body)
    assert first["output"] == [{"type": "message", "content": "This is a"}]
    assert first["stats"]["total_output_tokens"] == 3
    assert "model_load_time_seconds" in first["stats"]
    assert first["response_id"].startswith("resp_")
    second = await post(http, "/api/v1/chat", {**body, "store": False})
    assert "model_load_time_seconds" not in second["stats"]
    assert "response_id" not in second


async def test_v1_chat_with_an_image(simulator: Simulator, http: aiohttp.ClientSession):
    """Input may be items of text and images."""
    items = [
        {"type": "text", "content": "What?"},
        {"type": "image", "data_url": "data:image/png;base64,AA=="},
    ]
    answer = await post(http, "/api/v1/chat", {"model": LLM, "input": items})
    assert answer["stats"]["input_tokens"] > 256


async def test_v1_chat_streams(http: aiohttp.ClientSession):
    """Named events, from the load to the whole result."""
    body = {"model": LLM, "input": "Hello", "stream": True}
    async with http.post("/api/v1/chat", json=body) as response:
        events = [event.split("\n", 1) for event in (await response.text()).split("\n\n")[:-1]]
    assert list(dict.fromkeys(name.removeprefix("event: ") for name, _ in events)) == [
        *("chat.start", "model_load.start", "model_load.progress", "model_load.end"),
        *("prompt_processing.start", "prompt_processing.progress", "prompt_processing.end"),
        *("message.start", "message.delta", "message.end", "chat.end"),
    ]
    contents = [json.loads(data.removeprefix("data: ")) for _, data in events]
    deltas = [content["content"] for content in contents if content["type"] == "message.delta"]
    assert "".join(deltas) == contents[-1]["result"]["output"][0]["content"]
