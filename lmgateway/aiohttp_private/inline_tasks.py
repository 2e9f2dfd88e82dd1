"""An event loop that runs a request's handler in its connection's task."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


class _InlineLoop:
    """The event loop, but `create_task` returns the coroutine itself, which runs where it is awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Those that aiohttp calls for each request.
        self.create_future, self.time, self.call_at = loop.create_future, loop.time, loop.call_at

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        return coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def without_tasks(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """Return the loop for aiohttp's RequestHandler once its own task is made.

    aiohttp awaits each handler in a task of its own, only to give it a copy of the context variables, and the
    gateway's handlers set none that outlive them. Before Python 3.12, which begins such a task at once, that
    takes 3 % of the processor time per request.
    """
    return loop if sys.version_info >= (3, 12) else cast("asyncio.AbstractEventLoop", _InlineLoop(loop))
