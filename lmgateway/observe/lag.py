"""How late the event loop is: what every request waits for before it is even looked at."""

from __future__ import annotations

import asyncio

from .prometheus import Metrics

LOOK_SECONDS = 1.0


async def watch(metrics: Metrics) -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        metrics.lag(max(0.0, loop.time() - due))
