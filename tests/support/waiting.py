"""Polling, and the time-outs after which a test fails.

A test that passes doesn't wait so long, so these cost nothing: they are for a machine that is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Less than the gateway's own shortest limit, limits.head_ms: a test of a refusal must not pass because that
# limit ended the connection.
PATIENCE_SECONDS = 12.0
# For a process to start or to print a line, and for a hundred things at once.
STARTING_SECONDS = 60.0
# For a process to end. Less than server.drain_seconds, for the same reason.
ENDING_SECONDS = 25.0


async def until(happened: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Return when this is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.002)
