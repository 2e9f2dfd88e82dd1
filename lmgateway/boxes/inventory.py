"""What LM Studio says of itself and its models, read so that no unknown kind, field or type can spoil it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any, TypeVar

from ..schema.common import ModelType
from ..schema.models import DownloadedModel, LoadedModel

T = TypeVar("T")
# Those that are loaded; each has a list of its own.
KINDS: tuple[ModelType, ...] = ("llm", "embedding")
NEAR_NAMES = 5
MIN_RATIO = 0.4
# Of "qwen2.5-7b-instruct": qwen2, 7b, instruct.
_WORD = re.compile(r"[a-z0-9]{2,}")


def _field(entry: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = entry.get(name)
    # True is an int to Python, and no size.
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
    """Return the entries of one of LM Studio's lists that are any."""
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
    """Return what LM Studio says that it is."""
    return _field(answer, "version", str) if isinstance(answer, Mapping) else None


def find(name: str, models: Iterable[DownloadedModel]) -> DownloadedModel | None:
    """Return the model on disk with this key or path."""
    return next((model for model in models if name in {model.model_key, model.path}), None)


def near_names(name: str, models: Iterable[DownloadedModel]) -> list[str]:
    """Return the keys on disk that `name` may have been meant for, the likeliest first."""
    wanted = name.lower()
    words = set(_WORD.findall(wanted))

    def likeness(key: str) -> tuple[int, float]:
        return len(words & set(_WORD.findall(key))), SequenceMatcher(None, wanted, key).ratio()

    ranked = sorted(((likeness(model.model_key.lower()), model.model_key) for model in models), reverse=True)
    return [key for (shared, ratio), key in ranked[:NEAR_NAMES] if shared or ratio > MIN_RATIO]
