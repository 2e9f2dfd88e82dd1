"""The line before the GPU as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
_RUNNING = ("RUNS", "MODEL", "PHASE", "GPU TIME", "REQUEST")
_WAITING = ("WAITS", "CLASS", "MODEL", "FOR", "AHEAD", "WAITED", "ETA", "REQUEST")
_KEYS = ("KEY", "SHARE", "RUNS", "WAITS", "GPU TIME", "BEHIND")
_INSTANCES = ("INSTANCE", "MODEL", "BOX", "STATE", "SLOTS", "OURS", "OUTSIDE", "IDLE")


def overview(report: Json) -> Iterator[str]:
    """Yield the lines of the report's tables. The request that is next is the first of those that wait."""
    running, waiting = report["running"], sorted(report["waiting"], key=_turn)
    yield f"{len(running):,} running, {len(waiting):,} waiting"
    for head, numbers, rows in (
        (_RUNNING, {3}, map(_running, running)),
        (_WAITING, {4, 5, 6}, map(_waiting, waiting)),
        (_KEYS, {1, 2, 3, 4, 5}, map(_key, report["keys"])),
        (_INSTANCES, {4, 5, 6, 7}, map(_instance, report["instances"])),
    ):
        if table := [*rows]:
            yield ""
            yield from aligned([head, *table], numbers=numbers)
    if report["swap"] is not None:
        yield ""
        yield describe_swap(report["swap"])


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
        _REASONS.get(str(one["reason"]), str(one["reason"])),
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
