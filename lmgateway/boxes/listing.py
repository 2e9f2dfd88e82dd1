"""A snapshot of the models that an LM Studio has, parsed from what it lists over HTTP.

An entry of an unexpected form is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from msgspec import Raw, Struct

from ..schema.common import ModelType
from ..untrusted import MAX_COUNT, count, decoded, flag, whole

MAX_NAMES = 10_000
# Far above what any machine has. An instance without a slot or a context is none.
MAX_SLOTS = 10_000
T = TypeVar("T")
_HALVES = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_TYPES: Mapping[str, ModelType] = MappingProxyType(
    {"llm": "llm", "vlm": "llm", "embedding": "embedding", "embeddings": "embedding"}
)


class KnownModel(NamedTuple):
    """A model's key, and its type if that is known."""

    key: str
    type: ModelType | None = None


class InstanceDetails(NamedTuple):
    """How many requests an instance runs at once, and its context in tokens. None is unknown.

    With a `unified_cache` all of them share that context. Only the SDK reports this.
    """

    slots: int | None = None
    context: int | None = None
    unified_cache: bool | None = None

    @classmethod
    def plausible(cls, slots: object, context: object, unified_cache: object = None) -> InstanceDetails:
        """Return what LM Studio reported, without the values that no machine has."""
        return cls(whole(slots, 1, MAX_SLOTS), whole(context, 1, MAX_COUNT), flag(unified_cache))


Names = Mapping[str, KnownModel]


class Listing(Struct, frozen=True):
    """`instances` are by identifier; `models` by key, `key@variant` and path. An identifier comes first.

    `details` has the identifiers of `instances` of which something is known.

    `on_demand` are the models that LM Studio loads for a request. Without its just-in-time loading there are
    none, and then any model in memory may answer a request for another one.
    """

    instances: Names = MappingProxyType({})
    models: Names = MappingProxyType({})
    on_demand: frozenset[str] = frozenset()
    details: Mapping[str, InstanceDetails] = MappingProxyType({})

    def find(self, name: str) -> KnownModel | None:
        return self.instances.get(name) or self.models.get(name)

    def has_loaded(self, name: str) -> bool:
        """True if the model or the instance of this name is in memory."""
        model = self.find(name)
        return model is not None and any(one.key == model.key for one in self.instances.values())

    def answers(self, model: KnownModel) -> bool:
        """True if this model, and no other one, answers a request that names it."""
        return model.key in self.on_demand or any(one.key == model.key for one in self.instances.values())


class _NativeModel(Struct):
    """An entry of `GET /api/v1/models`. A variant is spelled `key@variant`."""

    key: str
    type: Raw = Raw()
    variants: Raw = Raw()
    selected_variant: Raw = Raw()
    loaded_instances: Raw = Raw()


class _NativeList(Struct):
    models: list[Raw]


class _NativeInstance(Struct):
    id: str
    config: Raw = Raw()


class _NativeConfig(Struct):
    """An embedding model has no `parallel`."""

    parallel: Raw = Raw()
    context_length: Raw = Raw()


class _Entry(Struct):
    """An entry of `GET /api/v0/models` and `/v1/models`; one in memory has a context length, in tokens."""

    id: str
    type: Raw = Raw()
    loaded_context_length: int | None = None


class _List(Struct):
    data: list[Raw]


def parse_native(body: bytes) -> Listing | None:
    """Return the snapshot in the answer of `/api/v1/models`, None if the server doesn't have it."""
    listed = _decoded(body, _NativeList)
    if listed is None:
        return None
    models: dict[str, KnownModel] = {}
    instances: dict[str, KnownModel] = {}
    variants: dict[str, KnownModel] = {}
    details: dict[str, InstanceDetails] = {}
    for entry in _each(listed.models, _NativeModel):
        model = models[entry.key] = KnownModel(entry.key, _type(entry.type))
        chosen = decoded(entry.selected_variant, str)
        for variant in (*_each(_items(entry.variants), str), *filter(None, [chosen])):
            name = variant if variant.startswith(f"{entry.key}@") else f"{entry.key}@{variant}"
            variants[name] = model
        for instance in _each(_items(entry.loaded_instances), _NativeInstance):
            instances[instance.id] = model
            if any(known := _details(instance.config)):
                details[instance.id] = known
    return Listing(instances, {**variants, **models}, details=details)


def parse_older(body: bytes) -> Listing | None:
    """Return the snapshot in the answer of `/api/v0/models` or `/v1/models`, None if the server has neither.

    They list an instance beside the models, without its model's key.
    """
    listed = _decoded(body, _List)
    if listed is None:
        return None
    entries = list(_each(listed.data, _Entry))
    models = {entry.id: KnownModel(entry.id, _type(entry.type)) for entry in entries}
    loaded = {entry.id: context for entry in entries if (context := entry.loaded_context_length) is not None}
    known = {name: InstanceDetails.plausible(None, context) for name, context in loaded.items()}
    details = {name: one for name, one in known.items() if any(one)}
    return Listing({name: models[name] for name in loaded}, models, details=details)


def context_in(body: bytes, name: str | None) -> int | None:
    """Return the context of the instance of this name in LM Studio's list; None if it has none.

    Without such an instance, it is that of the only one in memory: LM Studio then answers to any name.
    """
    listed = _decoded(body, _List)
    entries = () if listed is None else _each(listed.data, _Entry)
    loaded = {entry.id: count(entry.loaded_context_length) for entry in entries}
    contexts = {identifier: context for identifier, context in loaded.items() if context}
    if name in contexts:
        return contexts[name]
    return next(iter(contexts.values())) if len(contexts) == 1 else None


def _details(config: Raw) -> InstanceDetails:
    known = decoded(config, _NativeConfig) or _NativeConfig()
    slots, context = (decoded(value, int) for value in (known.parallel, known.context_length))
    return InstanceDetails.plausible(slots, context)


def _decoded(body: bytes, kind: type[T]) -> T | None:
    # msgspec raises on halves of characters wherever they are, so they are replaced.
    return decoded(body, kind) or decoded(_HALVES.sub(rb"\\ufffd", body), kind)


def _items(value: Raw) -> list[Raw]:
    return decoded(value, list[Raw]) or []


def _each(entries: Iterable[Raw], kind: type[T]) -> Iterator[T]:
    for raw in islice(entries, MAX_NAMES):
        if (entry := decoded(raw, kind)) is not None:
            yield entry


def _type(value: Raw) -> ModelType | None:
    return _TYPES.get(decoded(value, str) or "")
