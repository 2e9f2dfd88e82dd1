"""What the document says in words: each field of each object has a meaning."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmgateway.web.openapi.document import build
from lmgateway.web.openapi.glossary import GLOSSARY
from lmgateway.web.operations.routes import OPERATIONS

# Settings of a load that cost memory, or save it.
OF_MEMORY = {
    *("contextLength", "flashAttention", "offloadKVCacheToGpu", "useFp16ForKVCache", "evalBatchSize"),
    *("llamaKCacheQuantizationType", "llamaVCacheQuantizationType", "keepModelInMemory", "tryMmap"),
}
# Settings of a load that make answers faster or slower.
OF_SPEED = {
    "parallel",
    "flashAttention",
    "offloadKVCacheToGpu",
    "gpuStrictVramCap",
    "evalBatchSize",
    "numExperts",
}


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    document = msgspec.json.decode(build(OPERATIONS, key_needed=True, health_is_open=True))
    schemas: dict[str, Any] = document["components"]["schemas"]
    return schemas


def meaning(field: dict[str, Any]) -> str:
    """The description of a field, or of what it is if it isn't null."""
    options = (field, *field.get("anyOf", ()))
    return next((option["description"] for option in options if "description" in option), "")


def fields(objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{name}.{field}": described
        for name, schema in objects.items()
        for field, described in schema.get("properties", {}).items()
    }


def test_every_field_says_what_it_is(objects: dict[str, Any]) -> None:
    """A sentence each, but for fields that have one value only."""
    described = fields(objects)
    assert len(described) > 400
    missing = [
        path for path, field in described.items() if len(field.get("enum", ())) != 1 and not meaning(field)
    ]
    assert missing == []
    unended = [path for path, field in described.items() if meaning(field)[-1:] not in {"", "."}]
    assert unended == []


def test_the_glossary_has_no_entry_that_nothing_uses(objects: dict[str, Any]) -> None:
    """An entry whose field was renamed explains nothing."""
    used = {meaning(field) for field in fields(objects).values()}
    assert [entry for entry, text in GLOSSARY.items() if text not in used] == []


def test_a_load_setting_says_what_more_of_it_costs(objects: dict[str, Any]) -> None:
    """Memory or speed, so that somebody without LM Studio's manual can choose."""
    settings = {name: meaning(field) for name, field in objects["LoadConfig"]["properties"].items()}
    assert [name for name in OF_MEMORY if "memory" not in settings[name]] == []
    speed = ("faster", "slower", "slow")
    assert [name for name in OF_SPEED if not any(word in settings[name] for word in speed)] == []
    ratio = meaning(objects["Gpu"]["properties"]["ratio"])
    assert "faster" in ratio
    assert "memory" in ratio


def test_lm_studios_names_of_load_settings_say_the_same(objects: dict[str, Any]) -> None:
    """`/api/v1/models/load` is another spelling of the same load."""
    native, ours = objects["NativeLoad"]["properties"], objects["LoadConfig"]["properties"]
    for theirs, name in {
        "context_length": "contextLength",
        "eval_batch_size": "evalBatchSize",
        "flash_attention": "flashAttention",
        "num_experts": "numExperts",
        "offload_kv_cache_to_gpu": "offloadKVCacheToGpu",
    }.items():
        assert meaning(native[theirs]) == meaning(ours[name])
