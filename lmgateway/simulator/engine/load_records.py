"""The ledger's records of loads and unloads."""

import asyncio
import time
from typing import Literal

import msgspec

Origin = Literal["jit", "http", "sdk", "hand"]
"""Who loaded an instance: a request that named its model, or getOrLoad; `/api/v1`; loadModel; its user."""

UnloadReason = Literal["asked", "idle", "evicted", "crashed"]


class Load(msgspec.Struct):
    """A load, which may still be in progress. Times are of the event loop's clock."""

    model: str
    identifier: str
    loaded_by: Origin
    began_at: float
    ended_at: float | None = None
    outcome: Literal["loading", "loaded", "failed", "cancelled"] = "loading"
    error: str | None = None


class Unload(msgspec.Struct, frozen=True):
    """An instance that was unloaded, with the requests that it cut off: `busy` in slots, and `queued`.

    `at` is when that began, by the event loop's clock. `unloaded_by` is who asked, None if nobody did.
    """

    identifier: str
    model: str
    reason: UnloadReason
    busy: int
    queued: int
    loaded_by: Origin
    unloaded_by: Origin | None
    at: float


def loop_time() -> float:
    """Return the event loop's time; before a loop runs, the clock that asyncio's own loops have."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
