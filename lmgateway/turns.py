"""Long work on the event loop, done in pieces of which at most one runs in each of the loop's iterations."""

from __future__ import annotations

import asyncio


class Turns:
    """The queue of all long work: after each piece, a task waits here for its next turn."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def next(self) -> None:
        """Wait for the next turn. Everything else that is ready runs before it."""
        # The lock is fair. It is held for one iteration of the loop: pieces of many requests don't add up.
        async with self._lock:
            await asyncio.sleep(0)
