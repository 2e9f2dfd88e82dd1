"""How long the event loop is blocked, in processor time of its thread: other processes add nothing to it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

# Coverage's tracer makes Python several times slower, and a busy machine empties the processor's caches.
ALLOWANCE = 5 if sys.gettrace() else 2


@dataclass
class Longest:
    """`seconds` is the longest turn, as on a machine of its own."""

    measured: float = 0.0

    @property
    def seconds(self) -> float:
        return self.measured / ALLOWANCE


@asynccontextmanager
async def longest_turn() -> AsyncIterator[Longest]:
    """Measure the longest time that the event loop takes for all that is ready at once."""
    longest = Longest()

    async def take_turns() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest.measured = max(longest.measured, time.thread_time() - began)

    taking_turns = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    try:
        yield longest
    finally:
        taking_turns.cancel()
        await asyncio.gather(taking_turns, return_exceptions=True)
