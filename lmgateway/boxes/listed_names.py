"""The names on LM Studio's lists, as they were received last: of models and of their instances."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ..text import clean_name

MAX_NAMES = 10_000


class ListedNames:
    """The owner of these names. They are compared with the names that exchanges record."""

    def __init__(self) -> None:
        self._lists: dict[str, frozenset[str]] = {}

    def replace(self, source: str, names: Iterable[str]) -> None:
        """Replace the names of the list from this source."""
        self._lists[source] = frozenset(
            [clean_name(name) for name, _ in zip(names, range(MAX_NAMES), strict=False)]
        )

    def __contains__(self, name: str) -> bool:
        return any(name in names for names in self._lists.values())


class _Entry(Struct):
    id: str


class _List(Struct):
    """`GET /api/v0/models` and `/v1/models`."""

    data: list[_Entry]


def names_in(body: bytes) -> list[str]:
    """Return the names in a list that LM Studio sent over HTTP; [] for anything else."""
    try:
        return [entry.id for entry in msgspec.json.decode(body, type=_List).data]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []
