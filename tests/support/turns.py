"""How long the event loop is blocked, in processor time of its thread: other processes add nothing to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Longest:
    seconds: float = 0.0


@asynccontextmanager
async def longest_turn() -> AsyncIterator[Longest]:
    """Measure the longest time that the event loop takes for all that is ready at once."""
    longest = Longest()

    async def take_turns() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest.seconds = max(longest.seconds, time.thread_time() - began)

    taking_turns = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    try:
        yield longest
    finally:
        taking_turns.cancel()
        await asyncio.gather(taking_turns, return_exceptions=True)
