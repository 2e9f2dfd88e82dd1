"""Parses LM Studio's lists of models. An entry or a field of an unexpected type is skipped, not an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..observe.text import NAME_CHARACTERS, bounded
from ..schema.common import ModelType
from ..schema.models import DownloadedModel, LoadedModel

T = TypeVar("T")
# The kinds that can be loaded; LM Studio has a separate list of each.
KINDS: tuple[ModelType, ...] = ("llm", "embedding")


def _field(entry: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = entry.get(name)
    if isinstance(value, str):
        value = bounded(value, NAME_CHARACTERS)
    # A bool is an int in Python, but isn't a size.
    return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    key = _field(entry, "modelKey", str) or _field(entry, "path", str) or ""
    return {
        "model_key": key,
        "path": _field(entry, "path", str) or "",
        "type": _field(entry, "type", str) or "unknown",
        "display_name": _field(entry, "displayName", str) or key,
        "size": _field(entry, "sizeBytes", int),
        "publisher": _field(entry, "publisher", str),
        "format": _field(entry, "format", str),
        "architecture": _field(entry, "architecture", str),
        "params_string": _field(entry, "paramsString", str),
        "quantization": _field(_field(entry, "quantization", dict) or {}, "name", str),
        "vision": _field(entry, "vision", bool),
        "trained_for_tool_use": _field(entry, "trainedForToolUse", bool),
        "max_context_length": _field(entry, "maxContextLength", int),
    }


def objects(answer: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list; [] if `answer` isn't a list."""
    return [entry for entry in answer if isinstance(entry, Mapping)] if isinstance(answer, list) else []


def downloaded(entry: Mapping[str, Any]) -> DownloadedModel:
    return DownloadedModel(**_described(entry))


def loaded(entry: Mapping[str, Any]) -> LoadedModel:
    return LoadedModel(
        **_described(entry),
        identifier=_field(entry, "identifier", str) or "",
        context_length=_field(entry, "contextLength", int),
        ttl_ms=_field(entry, "ttlMs", int),
    )


def version(answer: object) -> str | None:
    """Return LM Studio's version, if the answer has one."""
    return _field(answer, "version", str) if isinstance(answer, Mapping) else None


def find(name: str, models: Iterable[DownloadedModel]) -> DownloadedModel | None:
    """Return the model on disk with this key or path."""
    return next((model for model in models if name in {model.model_key, model.path}), None)
