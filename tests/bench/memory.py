"""The gateway's memory: idle, while many streams are open, and when they have been gone for a while."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from .figures import MEGABYTE
from .gateway import everything_on
from .measuring import of_streams, warm
from .place import Place
from .tables import table

STREAMS = 1000
TOKENS_PER_SECOND = 20
LATER_SECONDS = 60.0


class Memory(Struct, frozen=True):
    """Resident memory. `warm_mb` is after the first requests, `later_mb` a minute after the last stream."""

    idle_mb: float
    warm_mb: float
    stream_kb: float
    after_mb: float
    later_mb: float

    def __str__(self) -> str:
        headings = (
            "memory",
            "MB idle",
            "MB warm",
            f"kB per stream at {STREAMS:,}",
            "MB after",
            "MB a minute later",
        )
        values = (self.idle_mb, self.warm_mb, self.stream_kb, self.after_mb, self.later_mb)
        return table(headings, [("lmgateway, everything on", *(f"{value:.1f}" for value in values))])


async def memory(place: Place, seconds: float, later_seconds: float = LATER_SECONDS) -> Memory:
    async with everything_on(place) as gateway:
        accounts = gateway.accounts(place)

        def megabytes() -> float:
            return accounts.resident_bytes() / MEGABYTE

        idle = megabytes()
        await warm(gateway)
        warmed = megabytes()
        found = await of_streams(place, gateway, STREAMS, TOKENS_PER_SECOND, seconds)
        after = megabytes()
        await asyncio.sleep(later_seconds)
        return Memory(idle, warmed, found.stream_kb, after, megabytes())
