"""Waiting for what a test can't be woken by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(happened: Callable[[], object]) -> None:
    """Return once it has happened. Raises TimeoutError."""
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.002)
