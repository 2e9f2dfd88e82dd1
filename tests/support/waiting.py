"""Waiting for what a test can't be woken by, and how long anything is waited for before a test gives up.

A test that passes doesn't wait so long, so these cost nothing: they are for a machine that is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Less than the gateway's own shortest limit, limits.head_ms: a test of a refusal must not pass because that
# limit ended the connection.
PATIENCE_SECONDS = 12.0
# For a process to begin or to say what it does, and for a hundred things at once.
STARTING_SECONDS = 60.0
# For one to end. Less than server.drain_seconds, for the same reason.
ENDING_SECONDS = 25.0


async def until(happened: Callable[[], object]) -> None:
    """Return once it has happened. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():
            await asyncio.sleep(0.002)
