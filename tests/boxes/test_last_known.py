"""The models of a box that can't be asked, from what it listed last."""

from __future__ import annotations

import json

import pytest

from lmgateway.background import DetachedTasks
from lmgateway.boxes.catalogue import Catalogue
from lmgateway.boxes.inventory import MAX_MODELS
from lmgateway.boxes.last_known import in_memory, on_disk
from lmgateway.boxes.list_bodies import NATIVE_PATH, SERVED_PATH
from lmgateway.schema.models import DownloadedModel, LoadedModel

ENTRY = {
    "key": "qwen-7b",
    "type": "llm",
    "display_name": "Qwen 7B",
    "size_bytes": 4_700_000_000,
    "publisher": "lmstudio-community",
    "format": "gguf",
    "architecture": "qwen2",
    "params_string": "7B",
    "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
    "max_context_length": 32768,
    "capabilities": {"vision": False, "trained_for_tool_use": True},
    "loaded_instances": [{"id": "qwen-7b", "config": {"context_length": 8192, "parallel": 4}}],
}
QWEN = DownloadedModel(
    model_key="qwen-7b",
    path="qwen-7b",
    type="llm",
    display_name="Qwen 7B",
    size=4_700_000_000,
    publisher="lmstudio-community",
    format="gguf",
    architecture="qwen2",
    params_string="7B",
    quantization="Q4_K_M",
    vision=False,
    trained_for_tool_use=True,
    max_context_length=32768,
)


def bodies(*entries: object) -> dict[str, bytes]:
    return {NATIVE_PATH: json.dumps({"models": entries}).encode()}


def restored(*entries: object) -> Catalogue:
    catalogue = Catalogue()
    catalogue.restore(bodies(*entries))
    return catalogue


async def listed(*entries: object) -> Catalogue:
    """As LM Studio sends it now."""
    catalogue, tasks = Catalogue(), DetachedTasks()

    async def read(path: str) -> tuple[int, bytes]:
        return 200, bodies(*entries).get(path, b"")

    await catalogue.refresh(read, tasks)
    await tasks.close()
    return catalogue


def test_after_a_restart_it_is_what_lm_studio_said_over_http() -> None:
    """In the words of the SDK's list; nothing is in memory."""
    catalogue = restored(ENTRY)
    assert on_disk(catalogue) == (QWEN,)
    assert in_memory(catalogue) == ()


@pytest.mark.parametrize("odd", [{"capabilities": "none"}, {"quantization": 4}, {"size_bytes": -1}])
def test_an_odd_field_is_unknown(odd: dict[str, object]) -> None:
    [model] = on_disk(restored({**ENTRY, **odd}))
    unknown = [getattr(model, name) for name in ("vision", "quantization", "size")]
    assert unknown.count(None) == 1
    assert model.display_name == "Qwen 7B"


def test_of_a_server_without_lm_studios_list_the_names_are_known() -> None:
    catalogue = Catalogue()
    body = {"data": [{"id": "some-7b"}, {"id": "text-embedding-some"}]}
    catalogue.restore({SERVED_PATH: json.dumps(body).encode()})
    shown = [(one.model_key, one.path, one.display_name, one.type, one.size) for one in on_disk(catalogue)]
    assert shown == [
        ("some-7b", "some-7b", "some-7b", "llm", None),
        ("text-embedding-some", "text-embedding-some", "text-embedding-some", "embedding", None),
    ]


def test_the_sdks_list_comes_before() -> None:
    """It has the paths."""
    catalogue = restored(ENTRY, {**ENTRY, "key": "another"})
    catalogue.put_downloaded([QWEN])
    assert on_disk(catalogue) == (QWEN,)


async def test_what_is_in_memory_is_the_last_list_over_http() -> None:
    """It is newer than the SDK's, whose details are kept of the same instance."""
    catalogue = await listed(ENTRY)
    [instance] = in_memory(catalogue)
    assert (instance.identifier, instance.model_key, instance.context_length) == ("qwen-7b", "qwen-7b", 8192)
    assert (instance.size, instance.ttl_ms) == (4_700_000_000, None)
    fields = {name: getattr(QWEN, name) for name in QWEN.__struct_fields__}
    known = LoadedModel(**fields, identifier="qwen-7b", context_length=4096, ttl_ms=60_000)
    gone = LoadedModel(**fields, identifier="gone", context_length=4096, ttl_ms=None)
    catalogue.put_loaded([known, gone])
    assert in_memory(catalogue) == (known,)


def test_without_a_list_over_http_it_is_the_sdks() -> None:
    catalogue = Catalogue()
    fields = {name: getattr(QWEN, name) for name in QWEN.__struct_fields__}
    known = LoadedModel(**fields, identifier="mine", context_length=4096, ttl_ms=None)
    catalogue.put_loaded([known])
    assert in_memory(catalogue) == (known,)
    assert in_memory(Catalogue()) == on_disk(Catalogue()) == ()


async def test_texts_are_bounded_and_can_be_sent() -> None:
    """The lists may be any server's: a long name is cut off, half a character isn't sent."""
    key = "k" * 300 + "\ud800"
    catalogue = await listed({"key": key, "loaded_instances": [{"id": key}]})
    shown = "k" * 255 + "…"
    assert [one.model_key for one in on_disk(catalogue)] == [shown]
    assert [(one.identifier, one.model_key) for one in in_memory(catalogue)] == [(shown, shown)]


async def test_no_more_models_are_shown_than_of_the_sdks_list() -> None:
    catalogue = restored(*({**ENTRY, "key": f"model-{number}"} for number in range(MAX_MODELS + 1)))
    assert len(on_disk(catalogue)) == MAX_MODELS
