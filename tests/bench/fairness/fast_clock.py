"""A monotonic clock that doesn't wait: while everything sleeps, it jumps to the end of the shortest sleep.

Work takes as long as it takes, and counts. So an hour of a gateway, its clients and its LM Studio, all in one
process and connected by real sockets, takes as long as what they compute in it.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager

_real = time.monotonic
# Bytes between two sockets of this machine, or the result of a thread, may take so long. epoll's own
# time-outs are whole milliseconds.
_GRACE_SECONDS = 0.00005
_Ready = list[tuple[selectors.SelectorKey, int]]


class FastClock:
    """The owner of the time that was skipped. It takes the place of `time.monotonic`."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.is_fast = False

    def __call__(self) -> float:
        return _real() + self.skipped

    def install(self) -> None:
        """Take the place in this process. Modules that import the function by name must be imported later."""
        time.monotonic = self

    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(_Selector(self))

    @contextmanager
    def fast(self) -> Iterator[None]:
        self.is_fast = True
        try:
            yield
        finally:
            self.is_fast = False


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: FastClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> _Ready:
        if timeout is None or timeout <= _GRACE_SECONDS or not self._clock.is_fast:
            return super().select(timeout)
        until = self._clock() + timeout
        if ready := super().select(0):
            return ready
        time.sleep(_GRACE_SECONDS)
        if ready := super().select(0):
            return ready
        self._clock.skipped += max(until - self._clock(), 0.0)
        return []
