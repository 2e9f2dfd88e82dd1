"""The requests that one LM Studio hasn't answered to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakSet

from ..errors import UpstreamBroke, UpstreamWentDown
from .http.response import UpstreamResponse

WENT_DOWN = "LM Studio stopped answering before it had begun to answer the request."
BROKE_OFF = "LM Studio stopped answering in the middle of its answer."


class Awaiting:
    """The owner of these waits, which end when LM Studio goes down.

    What it hasn't begun to answer may be sent to another one then.
    """

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._responses: WeakSet[UpstreamResponse] = WeakSet()

    def __bool__(self) -> bool:
        """True while there is such a request."""
        return bool(self._waits) or any(response.is_open for response in self._responses)

    async def head(self, sending: Coroutine[Any, Any, UpstreamResponse]) -> UpstreamResponse:
        """Return the response to a request as soon as its head is received.

        After `interrupt`, this raises UpstreamWentDown, and reading the response UpstreamBroke. Raises as
        `sending`.
        """
        wait = asyncio.timeout(None)
        self._waits.add(wait)
        try:
            async with wait:
                response = await sending
        except TimeoutError as exc:
            if not wait.expired():
                raise
            raise UpstreamWentDown(WENT_DOWN) from exc
        finally:
            self._waits.discard(wait)
        self._responses.add(response)
        return response

    def interrupt(self) -> None:
        """End the waits."""
        now = asyncio.get_running_loop().time()
        # Each only once: a wait that has expired and hasn't noticed yet can't be rescheduled.
        while self._waits:
            self._waits.pop().reschedule(now)
        for response in tuple(self._responses):
            if not response.has_ended:
                response.break_off(UpstreamBroke(BROKE_OFF))
        self._responses.clear()
