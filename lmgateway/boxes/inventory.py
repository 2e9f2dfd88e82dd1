"""Parses LM Studio's lists of models. An entry or a field of an unexpected form is skipped, not an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ..schema.common import ModelType
from ..schema.models import DownloadedModel, LoadedModel
from ..untrusted import MAX_BYTES, MAX_MILLISECONDS, PATH_CHARACTERS, count, flag, text

T = TypeVar("T")
Model = TypeVar("Model", bound=DownloadedModel)

logger = logging.getLogger(__name__)

# More than anyone has. Parsing them takes 30 ms, in which other requests wait.
MAX_MODELS = 2000
# The kinds that can be loaded; LM Studio has a separate list of each.
KINDS: tuple[ModelType, ...] = ("llm", "embedding")

# How many odd values are remembered, and how many are named in one line of the log.
_MOST_ODD = 1000
_MOST_NAMED = 5


class NewInstance(NamedTuple):
    """What LM Studio calls an instance that it has loaded.

    No other instance ever has the same reference, not even a later one with its identifier. None is unknown.
    """

    identifier: str
    reference: str | None = None


class Oddities:
    """The values of LM Studio's lists that had to be repaired or left out. Each is logged once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def read(
        self, parse: Callable[[Mapping[str, Any], set[str]], Model], answer: object
    ) -> tuple[Model, ...]:
        """Return the models of a list."""
        odd: set[str] = set()
        models = tuple(parse(entry, odd) for entry in _objects(answer, odd))
        if (new := odd - self._logged) and len(self._logged) < _MOST_ODD:
            self._logged |= new
            named = ", ".join(sorted(new)[:_MOST_NAMED])
            more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
            logger.warning("LM Studio's list has odd values, repaired or left out: %s%s", named, more)
        return models


class _Entry:
    """One entry of a list. The names of its odd fields are added to `odd`."""

    def __init__(self, fields: Mapping[str, Any], odd: set[str]) -> None:
        self._fields = fields
        self._odd = odd
        self.path = self.read("path", lambda path: text(path, PATH_CHARACTERS)) or ""
        self.key = self.read("modelKey", text) or self.path

    def read(self, name: str, parse: Callable[[object], T | None]) -> T | None:
        value = self._fields.get(name)
        parsed = parse(value)
        if parsed != value:
            self._odd.add(f"{name} of {text(self._fields.get('modelKey')) or 'a model'}")
        return parsed


def _described(entry: _Entry) -> dict[str, Any]:
    return {
        "model_key": entry.key,
        "path": entry.path,
        "type": entry.read("type", text) or "unknown",
        "display_name": entry.read("displayName", text) or entry.key,
        "size": entry.read("sizeBytes", lambda size: count(size, MAX_BYTES)),
        "publisher": entry.read("publisher", text),
        "format": entry.read("format", text),
        "architecture": entry.read("architecture", text),
        "params_string": entry.read("paramsString", text),
        "quantization": _name_of(entry.read("quantization", _object)),
        "vision": entry.read("vision", flag),
        "trained_for_tool_use": entry.read("trainedForToolUse", flag),
        "max_context_length": entry.read("maxContextLength", count),
    }


def _object(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _name_of(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else text(value.get("name"))


def _objects(answer: object, odd: set[str]) -> list[Mapping[str, Any]]:
    """Return the objects in a list, at most MAX_MODELS; [] if `answer` isn't a list."""
    entries = answer[:MAX_MODELS] if isinstance(answer, list) else []
    if not isinstance(answer, list):
        odd.add("the list itself")
    elif len(answer) > MAX_MODELS:
        odd.add(f"a list of more than {MAX_MODELS} models")
    objects = [entry for entry in entries if isinstance(entry, Mapping)]
    if len(objects) < len(entries):
        odd.add("an entry that isn't an object")
    return objects


def downloaded(fields: Mapping[str, Any], odd: set[str]) -> DownloadedModel:
    return DownloadedModel(**_described(_Entry(fields, odd)))


def loaded(fields: Mapping[str, Any], odd: set[str]) -> LoadedModel:
    entry = _Entry(fields, odd)
    return LoadedModel(
        **_described(entry),
        identifier=entry.read("identifier", text) or "",
        context_length=entry.read("contextLength", count),
        ttl_ms=entry.read("ttlMs", lambda ttl: count(ttl, MAX_MILLISECONDS)),
    )


def references(answer: object) -> dict[str, str | None] | None:
    """Return LM Studio's references of the instances in its list, by identifier; None if it isn't a list."""
    if not isinstance(answer, list):
        return None
    entries = _objects(answer, set())
    named = ((text(entry.get("identifier")), text(entry.get("instanceReference"))) for entry in entries)
    return {identifier: reference or None for identifier, reference in named if identifier}


def version(answer: object) -> str | None:
    """Return LM Studio's version, if the answer has one."""
    return text(answer.get("version")) if isinstance(answer, Mapping) else None


def find(name: str, models: Iterable[DownloadedModel]) -> DownloadedModel | None:
    """Return the model on disk with this key or path."""
    return next((model for model in models if name in {model.model_key, model.path}), None)
