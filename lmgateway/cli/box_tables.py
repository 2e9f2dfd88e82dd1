"""Boxes as a table for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]

_HEAD = ("BOX", "STATE", "LATENCY", "VERSION", "MODELS", "RUNS", "WAITS")
_NUMBERS = frozenset({2, 4, 5, 6})


def overview(boxes: Iterable[Json]) -> tuple[list[tuple[str, ...]], Collection[int]]:
    """Return the rows of the table, with a head, and the indexes of the columns with numbers."""
    return [_HEAD, *map(_row, boxes)], _NUMBERS


def _row(box: Json) -> tuple[str, ...]:
    return (
        box["box"],
        box["state"],
        "" if box["latencyMs"] is None else f"{box['latencyMs']:,} ms",
        box["version"] or "",
        f"{len(box['models']):,}",
        f"{box['running']:,}",
        f"{box['waiting']:,}",
    )
