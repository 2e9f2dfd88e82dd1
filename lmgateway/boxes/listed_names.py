"""The names on LM Studio's lists, as they were received last: of models and of their instances."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from msgspec import Raw, Struct

from ..text import clean_name
from ..untrusted import count, decoded

MAX_NAMES = 10_000
T = TypeVar("T")
_HALVES = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class ListedNames:
    """The owner of these names. They are compared with the names that exchanges record."""

    def __init__(self) -> None:
        # Of each list the names, with the key of the model that each belongs to.
        self._lists: dict[str, dict[str, str]] = {}

    def replace(self, source: str, names: Iterable[tuple[str, str]]) -> None:
        """Replace the list from this source: each name with its model's key, or itself if that is unknown."""
        self._lists[source] = {clean_name(name): clean_name(key) for name, key in islice(names, MAX_NAMES)}

    def __contains__(self, name: str) -> bool:
        return any(name in names for names in self._lists.values())

    def model_of(self, name: str) -> str:
        """Return the key of the model that has this name, the name itself if it is unknown."""
        keys = (names.get(name, name) for names in self._lists.values())
        return next((key for key in keys if key != name), name)


class _Entry(Struct):
    id: str


class _Instance(Struct):
    """An entry of `GET /api/v0/models`; one in memory has a context length, in tokens."""

    id: str
    loaded_context_length: int | None = None


class _List(Struct):
    """`GET /api/v0/models` and `/v1/models`. Each entry is decoded on its own: an odd one is skipped."""

    data: list[Raw]


def names_in(body: bytes) -> list[str]:
    """Return the names in a list that LM Studio sent over HTTP; [] for anything else."""
    return [entry.id for entry in _entries(body, _Entry)]


def context_in(body: bytes, name: str | None) -> int | None:
    """Return the context of the instance of this name in LM Studio's list; None if it has none.

    Without such an instance, it is that of the only one in memory: LM Studio then answers to any name.
    """
    loaded = {entry.id: count(entry.loaded_context_length) for entry in _entries(body, _Instance)}
    contexts = {identifier: context for identifier, context in loaded.items() if context}
    if name in contexts:
        return contexts[name]
    return next(iter(contexts.values())) if len(contexts) == 1 else None


def _entries(body: bytes, kind: type[T]) -> list[T]:
    """Return the entries of a list that have this form."""
    # msgspec raises on halves of characters wherever they are, so they are replaced.
    listed = decoded(body, _List) or decoded(_HALVES.sub(rb"\\ufffd", body), _List)
    entries = [] if listed is None else [decoded(entry, kind) for entry in listed.data[:MAX_NAMES]]
    return [entry for entry in entries if entry is not None]
