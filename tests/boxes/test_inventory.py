"""LM Studio's lists of models, as odd as they may come."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from lmgateway.boxes import inventory
from lmgateway.schema.models import DownloadedModel, LoadedModel

FULL: dict[str, Any] = {
    "type": "llm",
    "modelKey": "qwen2.5-7b-instruct",
    "path": "lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
    "displayName": "Qwen2.5 7B Instruct",
    "sizeBytes": 4_683_073_184,
    "publisher": "lmstudio-community",
    "format": "gguf",
    "architecture": "qwen2",
    "paramsString": "7B",
    "quantization": {"name": "Q4_K_M", "bits": 4},
    "vision": False,
    "trainedForToolUse": True,
    "maxContextLength": 32768,
}
SHOWN = {
    **{name: value for name, value in FULL.items() if name not in {"sizeBytes", "quantization"}},
    "size": 4_683_073_184,
    "quantization": "Q4_K_M",
}
IN_MEMORY = {**FULL, "identifier": "mine", "contextLength": 4096, "ttlMs": 60_000}


def downloaded(fields: dict[str, Any]) -> DownloadedModel:
    return inventory.downloaded(fields, set())


def loaded(fields: dict[str, Any]) -> LoadedModel:
    return inventory.loaded(fields, set())


def shown(model: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(model))


def test_model_on_disk() -> None:
    """What LM Studio says of a model is shown under the gateway's names."""
    assert shown(downloaded(FULL)) == SHOWN


def test_model_in_memory() -> None:
    """A loaded one also has its instance's name, its context and its time to live; it isn't active yet."""
    extra = {"identifier": "mine", "contextLength": 4096, "ttlMs": 60_000, "active": False}
    assert shown(loaded(IN_MEMORY)) == SHOWN | extra


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        pytest.param({"type": "reranker"}, {"type": "reranker"}, id="an unknown type"),
        pytest.param({"type": 7}, {"type": "unknown"}, id="a type that is no text"),
        pytest.param({"modelKey": ""}, {"modelKey": FULL["path"]}, id="an empty key"),
        pytest.param({"modelKey": 1}, {"modelKey": FULL["path"]}, id="a key that is a number"),
        pytest.param({"displayName": None}, {"displayName": FULL["modelKey"]}, id="no display name"),
        pytest.param({"path": ["a", "b"]}, {"path": ""}, id="a path in parts"),
        pytest.param({"sizeBytes": "4 GB"}, {"size": None}, id="a size in words"),
        pytest.param({"sizeBytes": -1}, {"size": None}, id="a negative size"),
        pytest.param({"sizeBytes": 10**400}, {"size": None}, id="an endless size"),
        pytest.param({"path": "x" * 2000}, {"path": "x" * 1023 + "…"}, id="an endless path"),
        pytest.param({"displayName": "\ud83d"}, {"displayName": "\ufffd"}, id="half a character"),
        pytest.param({"sizeBytes": True}, {"size": None}, id="a size that is true"),
        pytest.param({"quantization": "Q4_K_M"}, {"quantization": None}, id="quantization as text"),
        pytest.param({"quantization": {"bits": 4}}, {"quantization": None}, id="quantization without name"),
        pytest.param({"vision": "yes"}, {"vision": None}, id="a flag in words"),
        pytest.param({"trainedForToolUse": 1}, {"trainedForToolUse": None}, id="a flag as a number"),
        pytest.param({"maxContextLength": {}}, {"maxContextLength": None}, id="a context that is an object"),
        pytest.param(
            {"newInVersion9": {"deep": [1]}, "architecture": None}, {"architecture": None}, id="new"
        ),
    ],
)
def test_odd_field_spoils_only_itself(changes: dict[str, object], differences: dict[str, object]) -> None:
    """A list with an odd entry is still shown, that entry among the others."""
    assert shown(downloaded(FULL | changes)) == SHOWN | differences


def test_entry_with_nothing_in_it() -> None:
    """Whatever LM Studio leaves out is null or empty, and never missing from the answer."""
    empty = {"modelKey": "", "path": "", "type": "unknown", "displayName": ""}
    assert shown(downloaded({})) == dict.fromkeys(SHOWN) | empty
    nothing = {"identifier": "", "contextLength": None, "ttlMs": None, "active": False}
    assert shown(loaded({})) == dict.fromkeys(SHOWN) | empty | nothing
    odd = loaded({"identifier": 5, "contextLength": True, "ttlMs": "soon"})
    assert (odd.identifier, odd.context_length, odd.ttl_ms) == ("", None, None)


MODELS = [
    downloaded({"modelKey": key, "path": f"someone/{key}.gguf"})
    for key in ("llama-3.2-1b-instruct", "llama-3.2-3b-instruct")
]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param("llama-3.2-3b-instruct", "llama-3.2-3b-instruct", id="key"),
        pytest.param("someone/llama-3.2-3b-instruct.gguf", "llama-3.2-3b-instruct", id="path"),
        pytest.param("LLAMA-3.2-3b-instruct", None, id="other case"),
        pytest.param("llama", None, id="only a part"),
        pytest.param("", None, id="empty"),
    ],
)
def test_find(name: str, key: str | None) -> None:
    """A model is found by its exact key or path only."""
    model = inventory.find(name, MODELS)
    assert (model and model.model_key) == key


def test_a_list_without_end_is_cut_off() -> None:
    """LM Studio's list of a hundred thousand models would block the event loop for a second."""
    models = inventory.Oddities().read(inventory.downloaded, [{}] * 100_000)
    assert len(models) == inventory.MAX_MODELS


def test_references() -> None:
    """An entry without an identifier is skipped; a reference that is none, or no text, is unknown."""
    entries = [
        {"identifier": "a", "instanceReference": "ref-1"},
        {"identifier": "half", "instanceReference": "\ud83d"},
        {"identifier": "endless", "instanceReference": "x" * 10_000},
        {"identifier": "number", "instanceReference": 1},
        {"identifier": "empty", "instanceReference": ""},
        {"identifier": "none"},
        {"identifier": 5, "instanceReference": "ref-2"},
        {"identifier": "", "instanceReference": "ref-3"},
        "no object",
    ]
    assert inventory.references(entries) == {
        "a": "ref-1",
        "half": "\ufffd",
        "endless": "x" * 255 + "…",
        "number": None,
        "empty": None,
        "none": None,
    }
    assert inventory.references([]) == {}


@pytest.mark.parametrize("answer", [None, {}, "a", 1])
def test_references_that_cant_be_read(answer: object) -> None:
    """They aren't the list of an LM Studio that has nothing in memory."""
    assert inventory.references(answer) is None
