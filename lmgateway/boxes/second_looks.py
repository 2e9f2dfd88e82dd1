"""Looks at LM Studio's lists for names that aren't in the last ones, as often as LM Studio can bear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from .. import background

# How many looks may follow each other at once, and how often there may be one in the long run. Clients choose
# the names, and each look is two lists, a call of the SDK and a line in LM Studio's log.
BURST = 5
EVERY_SECONDS = 1.0


class SecondLooks:
    """The owner of these looks on one box. Each requests the lists by `request`.

    Concurrent calls share one (single-flight). One that is too soon is made later, and its callers wait for
    it: a name is never refused without a look.
    """

    def __init__(self, request: Callable[[], Awaitable[None]], tasks: background.DetachedTasks) -> None:
        self._request = request
        self._tasks = tasks
        self._look: asyncio.Task[None] | None = None
        # When a whole burst is allowed again.
        self._recovered_at = 0.0

    async def look(self) -> None:
        """Request the lists. Raises as `request`."""
        if self._look is None or self._look.done():
            self._look = self._tasks.start(self._look_in_time())
        await background.join(self._look)

    async def _look_in_time(self) -> None:
        now = monotonic()
        self._recovered_at = max(self._recovered_at, now) + EVERY_SECONDS
        await asyncio.sleep(max(self._recovered_at - now - BURST * EVERY_SECONDS, 0.0))
        await self._request()
