"""The models of a box as they were known last, in the form of the SDK's lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
from msgspec import structs

from ..schema.common import likely_type
from ..schema.models import DownloadedModel, LoadedModel
from ..untrusted import text
from . import inventory
from .catalogue import Catalogue
from .list_bodies import NATIVE_PATH
from .listing import KnownModel

# The SDK's names of the fields of an entry of LM Studio's own list over HTTP.
_NAMES = {
    "modelKey": "key",
    "path": "key",  # which that list doesn't have
    "type": "type",
    "displayName": "display_name",
    "sizeBytes": "size_bytes",
    "publisher": "publisher",
    "format": "format",
    "architecture": "architecture",
    "paramsString": "params_string",
    "quantization": "quantization",
    "maxContextLength": "max_context_length",
}
_CAPABILITIES = {"vision": "vision", "trainedForToolUse": "trained_for_tool_use"}


def on_disk(catalogue: Catalogue) -> tuple[DownloadedModel, ...]:
    """Return the SDK's list of models on disk, without one what the last list over HTTP says of them."""
    if catalogue.downloaded is not None:
        return catalogue.downloaded
    native = {model.model_key: model for model in _native(catalogue.bodies.get(NATIVE_PATH, b""))}
    known = {model.key: model for model in catalogue.listing.models.values()}
    shown = islice(known.items(), inventory.MAX_MODELS)
    return tuple(native.get(text(key) or "") or _named(model) for key, model in shown)


def in_memory(catalogue: Catalogue) -> tuple[LoadedModel, ...]:
    """Return the instances of the last list over HTTP, without one those of the SDK's."""
    if not catalogue.was_listed:
        return catalogue.loaded or ()
    listed = {one.identifier: one for one in catalogue.loaded or ()}
    disk = {model.model_key: model for model in on_disk(catalogue)}
    instances = []
    for identifier, model in islice(catalogue.listing.instances.items(), inventory.MAX_MODELS):
        one = listed.get(identifier)
        if one is None or one.model_key != model.key:
            details = catalogue.listing.details.get(identifier)
            one = LoadedModel(
                **structs.asdict(disk.get(model.key) or _named(model)),
                identifier=text(identifier) or "",
                context_length=None if details is None else details.context,
                ttl_ms=None,
            )
        instances.append(one)
    return tuple(instances)


def _native(body: bytes) -> Iterator[DownloadedModel]:
    try:
        listed = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, RecursionError):
        return
    entries = listed.get("models") if isinstance(listed, Mapping) else None
    for entry in entries[: inventory.MAX_MODELS] if isinstance(entries, list) else ():
        if isinstance(entry, Mapping):
            yield inventory.downloaded(_fields(entry), set())


def _fields(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    given = entry.get("capabilities")
    capabilities = given if isinstance(given, Mapping) else {}
    return {
        **{name: entry.get(native) for name, native in _NAMES.items()},
        **{name: capabilities.get(native) for name, native in _CAPABILITIES.items()},
    }


def _named(model: KnownModel) -> DownloadedModel:
    """Return a model of which no more is known than its name and perhaps its type."""
    unknown: dict[str, Any] = dict.fromkeys(DownloadedModel.__struct_fields__)
    key = text(model.key) or ""
    named = {"model_key": key, "path": key, "display_name": key}
    return DownloadedModel(**unknown | named | {"type": model.type or likely_type(model.key)})
