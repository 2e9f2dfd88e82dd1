"""The gateway's memory: idle, while many streams are open, and when they have been gone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from .figures import MEGABYTE
from .measuring import of_streams, warm
from .place import Place
from .tables import table
from .targets import Target

STREAMS = 1000
TOKENS_PER_SECOND = 20
LATER_SECONDS = 60.0
# What is looked at.
TARGETS = ("lmgateway", "lmgateway-jemalloc")


class Memory(Struct, frozen=True):
    """Resident memory. `warm_mb` is after the first requests, `later_mb` a minute after the last stream."""

    title: str
    idle_mb: float
    warm_mb: float
    stream_kb: float
    after_mb: float
    later_mb: float


def memories(measured: Sequence[Memory]) -> str:
    """Return them as a table."""
    headings = (
        "memory",
        "MB idle",
        "MB warm",
        f"kB per stream at {STREAMS:,}",
        "MB after",
        "MB a minute later",
    )
    rows = [(one.title, *(f"{value:.1f}" for value in msgspec.structs.astuple(one)[1:])) for one in measured]
    return table(headings, rows)


async def memory(
    place: Place, target: Target, seconds: float, later_seconds: float = LATER_SECONDS
) -> Memory:
    async with target.start(place) as gateway:
        accounts = gateway.accounts(place)

        def megabytes() -> float:
            return accounts.resident_bytes() / MEGABYTE

        idle = megabytes()
        await warm(gateway)
        warmed = megabytes()
        streams = await of_streams(place, gateway, STREAMS, TOKENS_PER_SECOND, seconds)
        after = megabytes()
        await asyncio.sleep(later_seconds)
        return Memory(target.title, idle, warmed, streams.stream_kb, after, megabytes())
