"""The line before the GPU as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .durations import duration
from .output import aligned

Json = Mapping[str, Any]

_REASONS = {
    "slot": "a free slot",
    "key_limit": "its key's limit",
    "context": "room in the context",
    "model": "its model",
    "box": "LM Studio",
}
# Of an instance while queue.enabled is false.
_UNLIMITED_SLOTS = 10**9


class Table(NamedTuple):
    """A table of one member of the report; `numbers` are the indexes of the columns with numbers."""

    member: str
    head: tuple[str, ...]
    numbers: frozenset[int]
    row: Callable[[Json], tuple[str, ...]]
    order: Callable[[Json], tuple[str, int]] | None = None


def overview(report: Json) -> Iterator[str]:
    """Yield the lines of the report's tables. The request that is next is the first of those that wait."""
    return _lines(report, _KEYS_TABLE, _INSTANCES_TABLE)


def processes(report: Json) -> Iterator[str]:
    """Yield the same lines without each key's part."""
    return _lines(report, _INSTANCES_TABLE)


def _lines(report: Json, *more: Table) -> Iterator[str]:
    yield f"{len(report['running']):,} running, {len(report['waiting']):,} waiting"
    for table in (_RUNNING_TABLE, _WAITING_TABLE, *more):
        if rows := sorted(report[table.member], key=table.order) if table.order else report[table.member]:
            yield ""
            yield from aligned([table.head, *map(table.row, rows)], numbers=table.numbers)
    if report["swap"] is not None:
        yield ""
        yield describe_swap(report["swap"])


def waits_for(waiting: Json) -> str:
    """Return what a request in line waits for."""
    return _REASONS.get(str(waiting["reason"]), str(waiting["reason"]))


def describe_swap(swap: Json) -> str:
    """Return a sentence about the model that leaves the memory for another."""
    done = "" if swap["etaMs"] is None else f", done in about {duration(swap['etaMs'])}"
    return (
        f"Replacing {swap['from']} with {swap['to']}: {swap['state']} for {duration(swap['sinceMs'])}{done}"
    )


def slots(number: int) -> str:
    """Return a number of slots; while the line is off, any number of requests runs at once."""
    return f"{number:,}" if number < _UNLIMITED_SLOTS else "any"


def _turn(waiting: Json) -> tuple[str, int]:
    return waiting["model"], waiting["ahead"]


def _running(one: Json) -> tuple[str, ...]:
    return one["key"], one["model"], one["phase"], duration(one["gpuMs"]), one["requestId"]


def _waiting(one: Json) -> tuple[str, ...]:
    return (
        _account(one),
        one["class"],
        one["model"],
        waits_for(one),
        f"{one['ahead']:,}",
        duration(one["waitedMs"]),
        "?" if one["etaMs"] is None else duration(one["etaMs"]),
        one["requestId"],
    )


def _key(one: Json) -> tuple[str, ...]:
    return (
        _account(one),
        f"{one['share']:g}",
        f"{one['running']:,}",
        f"{one['waiting']:,}",
        duration(one["gpuMs"]),
        duration(one["behindMs"]),
    )


def _account(one: Json) -> str:
    """Return the key, with the address or the user that has an account of its own."""
    part = one.get("user") or one.get("address")
    return f"{one['key']} {part}" if part else one["key"]


def _instance(one: Json) -> tuple[str, ...]:
    return (
        one["instance"],
        one["model"],
        one["box"],
        one["state"],
        slots(one["slots"]),
        *(f"{one[name]:,}" for name in ("ours", "outside")),
        duration(one["idleMs"]),
    )


_RUNNING_TABLE = Table("running", ("RUNS", "MODEL", "PHASE", "GPU TIME", "REQUEST"), frozenset({3}), _running)
_WAITING_TABLE = Table(
    "waiting",
    ("WAITS", "CLASS", "MODEL", "FOR", "AHEAD", "WAITED", "ETA", "REQUEST"),
    frozenset({4, 5, 6}),
    _waiting,
    _turn,
)
_KEYS_TABLE = Table(
    "keys",
    ("KEY", "SHARE", "RUNS", "WAITS", "GPU TIME", "BEHIND"),
    frozenset({1, 2, 3, 4, 5}),
    _key,
)
_INSTANCES_TABLE = Table(
    "instances",
    ("INSTANCE", "MODEL", "BOX", "STATE", "SLOTS", "OURS", "OUTSIDE", "IDLE"),
    frozenset({4, 5, 6, 7}),
    _instance,
)
