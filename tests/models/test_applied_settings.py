"""Load settings that LM Studio applied otherwise than asked for, and those that only its raw fields have."""

from __future__ import annotations

import pytest

from lmgateway.boxes.applied_settings import differences
from tests.support.home import Home
from tests.support.odd_studio import rewrite_messages

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def test_a_smaller_context_is_said(home: Home) -> None:
    """AutoFit shrinks a context that doesn't fit: a prompt for the longer one would be refused much later."""
    status, answer = await home.post("load", modelKey=LLM, loadConfig={"contextLength": 131072})
    sentence = "LM Studio applied a context of 32,768 tokens instead of 131,072."
    assert (status, answer["warnings"]) == (200, [sentence])
    assert answer["message"] == f"{LLM} is loaded and is now the active model. {sentence}"
    assert answer["loadConfig"]["contextLength"] == 32768


async def test_another_setting_that_differs_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as fewer parallel predictions."""
    field = '"key":"llm.load.numParallelSessions","value":'
    rewrite_messages(monkeypatch, (f"{field}8", f"{field}1"))
    _, answer = await home.post("load", modelKey=LLM, loadConfig={"parallel": 8})
    assert answer["warnings"] == ["LM Studio applied parallel 1 instead of 8."]


async def test_what_was_asked_for_is_no_warning(home: Home) -> None:
    asked = {
        "contextLength": 8192,
        "parallel": 2,
        "useUnifiedKvCache": False,
        "gpu": {"ratio": "max", "splitStrategy": "favorMainGpu", "mainGpu": 0, "disabledGpus": [1]},
        "llamaKCacheQuantizationType": "q8_0",
        "ropeFrequencyBase": 10000,
        "seed": 7,
    }
    _, answer = await home.post("load", modelKey=LLM, loadConfig=asked)
    assert (answer["warnings"], answer["ignored"]) == ([], [])
    assert answer["loadConfig"] == answer["loadConfig"] | asked


async def test_parallel_and_unified_kv_cache_reach_lm_studio(home: Home) -> None:
    """LM Studio's own HTTP API reports them, under the SDK's keys; by default it runs four at once."""
    await home.post("load", modelKey=LLM, loadConfig={"parallel": 2, "useUnifiedKvCache": False})
    _, answer = await home.post("load", modelKey=LLM, another=True)
    assert (answer["loadConfig"]["parallel"], answer["loadConfig"]["useUnifiedKvCache"]) == (4, True)
    _, listed = await home.get("/api/v1/models")
    instances = next(model for model in listed["models"] if model["key"] == LLM)["loaded_instances"]
    assert [instance["config"]["parallel"] for instance in instances] == [2, 4]
    (first, _) = home.studio.simulator.memory.instances("llm")
    assert first.settings["llm.load.useUnifiedKvCache"] is False


async def test_an_embedding_model_has_neither(home: Home) -> None:
    config = {"parallel": 2, "useUnifiedKvCache": True, "contextLength": 1024}
    _, answer = await home.post("load", modelKey=EMBEDDING, loadConfig=config)
    assert answer["ignored"] == ["loadConfig.parallel", "loadConfig.useUnifiedKvCache"]
    assert answer["warnings"] == []
    assert (answer["loadConfig"]["contextLength"], "parallel" in answer["loadConfig"]) == (1024, False)


@pytest.mark.parametrize("parallel", [0, -1, 1.5, "2"])
async def test_parallel_is_a_positive_number(home: Home, parallel: object) -> None:
    status, answer = await home.post("load", modelKey=LLM, loadConfig={"parallel": parallel})
    assert (status, answer["details"][0]["path"]) == (400, "loadConfig.parallel")


@pytest.mark.parametrize(
    ("asked", "applied", "expected"),
    [
        ({}, {"contextLength": 1}, []),
        ({"contextLength": 8192}, {"contextLength": 8192.0}, []),
        (
            {"contextLength": 131072},
            {"contextLength": 32768},
            ["a context of 32,768 tokens instead of 131,072"],
        ),
        ({"contextLength": 8192}, {}, []),
        ({"contextLength": 8192}, {"contextLength": None}, []),
        ({"contextLength": 8192}, {"contextLength": "4096"}, []),
        ({"contextLength": 8192}, {"contextLength": {"checked": True}}, []),
        ({"gpu": {"ratio": "max"}}, {"gpu": {"ratio": 1.0}}, []),
        ({"gpu": {"ratio": 0}}, {"gpu": {"ratio": "off"}}, []),
        ({"gpu": {"ratio": 0.3}}, {"gpu": {"ratio": 0.30000001192092896}}, []),
        ({"gpu": {"ratio": "max"}}, {"gpu": {"ratio": 0.5}}, ["gpu.ratio 0.5 instead of max"]),
        ({"gpu": {"ratio": 1}}, {"gpu": 1}, []),
        ({"gpu": {"disabledGpus": [1]}}, {"gpu": {"disabledGpus": []}}, []),
        ({"flashAttention": True}, {"flashAttention": False}, ["flashAttention false instead of true"]),
        ({"flashAttention": True}, {"flashAttention": 1}, []),
        ({"useFp16ForKVCache": False}, {"useFp16ForKVCache": 1}, []),
        (
            {"llamaKCacheQuantizationType": "q8_0"},
            {"llamaKCacheQuantizationType": "f16"},
            ["llamaKCacheQuantizationType f16 instead of q8_0"],
        ),
    ],
)
def test_differences(asked: dict[str, object], applied: dict[str, object], expected: list[str]) -> None:
    """What LM Studio doesn't report, or in another form, is unknown, and unknown isn't different."""
    assert [str(difference) for difference in differences(asked, applied)] == expected
