"""The life of a model over the admin API, from listed to unloaded."""

from __future__ import annotations

import asyncio
import time

import pytest

from lmgateway.models.names import WHERE_TO_LOOK
from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def test_whole_life_with_its_events(home: Home) -> None:
    """Listed, loaded, active, unloaded: the answers and the events agree."""
    async with home.events() as events:
        config = {
            "contextLength": 8192,
            "flashAttention": True,
            "gpu": {"ratio": 0.5, "layers": 3},
            "cpuThreads": 4,
        }
        status, answer = await home.post(
            "load", modelKey=LLM, instanceId="big", loadConfig=config, ttlSeconds=600
        )
        assert status == 200
        assert answer["loadConfig"]["contextLength"] == 8192
        assert answer["loadConfig"]["gpu"]["ratio"] == 0.5
        assert answer["totalTimeMs"] >= 0
        assert answer | {"loadConfig": 0, "totalTimeMs": 0, "message": ""} == {
            "status": "loaded",
            "modelKey": LLM,
            "instanceId": "big",
            "identifier": "big",
            "box": "lmstudio",
            "activated": True,
            "totalTimeMs": 0,
            "loadConfig": 0,
            "ignored": ["loadConfig.gpu.layers", "loadConfig.cpuThreads"],
            "warnings": [],
            "message": "",
        }
        _, listed = await home.get("/admin/models")
        (loaded,) = listed["loaded"]
        assert (loaded["identifier"], loaded["active"], loaded["contextLength"]) == ("big", True, 8192)
        assert loaded["ttlMs"] == 600_000
        assert {model["modelKey"] for model in listed["downloaded"]} >= {LLM, OTHER, EMBEDDING}
        assert all(model["path"] and model["size"] > 0 for model in listed["downloaded"])

        assert await home.post("unload", modelKey=LLM, instanceId="nobody") == (
            404,
            {
                "status": "not_found",
                "modelKey": LLM,
                "instanceId": "nobody",
                "message": f"Nothing named nobody is loaded; {WHERE_TO_LOOK} lists what is.",
                "error": "Model not found",
            },
        )
        status, answer = await home.post("unload", modelKey=LLM)
        assert (status, answer["status"], answer["instanceId"]) == (200, "unloaded", None)
        assert (await home.get("/admin/models/active"))[1] == {
            "activeModel": None,
            "activeEmbeddingModel": None,
        }

        published = [("", {})]
        while published[-1][0] != "model_unload_complete":
            published.append(await asyncio.wait_for(events.get(), 5))
    progress = [event["progressRaw"] for name, event in published if name == "model_load_progress"]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert [name for name, _ in published if name not in {"", "model_load_progress"}] == [
        "model_load_start",
        "model_load_complete",
        "model_activate",
        "model_unload_start",
        "model_unload_complete",
    ]


@pytest.mark.parametrize("within", [PATIENCE_SECONDS, pytest.param(0.1, marks=pytest.mark.long)])
async def test_large_catalogue_is_listed_whole_and_fast(start_gateway: StartGateway, within: float) -> None:
    """1,500 models, one of an unknown type: all of them, in under 100 ms on a quiet machine."""
    models: list[dict[str, object]] = [
        {"type": "llm", "modelKey": f"model-{number}", "path": f"p/{number}.gguf", "sizeBytes": number}
        for number in range(1499)
    ]
    models.append({"type": "hologram", "modelKey": "strange", "path": "p/strange", "new": {}})
    async with running_studio(Simulator(pace=Pace.instant(), extra_models=models)) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            status, listed = await home.get("/admin/models")
            seconds.append(time.monotonic() - began)
            assert status == 200
    keys = {model["modelKey"]: model for model in listed["downloaded"]}
    assert keys.keys() >= {model["modelKey"] for model in models}
    assert keys["strange"]["type"] == "hologram"
    assert min(seconds) < within
