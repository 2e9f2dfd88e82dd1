"""The streams that wait for LM Studio, with one timer for the keep-alives of all."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Protocol


class WaitingStream(Protocol):
    def send_keep_alive(self) -> None: ...


class WaitingStreams:
    """Calls each stream's send_keep_alive() when that is due.

    A timer of its own would cost each request 1.3 µs, though nearly all are answered before it is due.
    """

    def __init__(self) -> None:
        # By the monotonic clock, in seconds.
        self._due: dict[WaitingStream, float] = {}
        # When the timer fires. It isn't cancelled when the last stream is removed, but isn't set again then.
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """True while no timer is set."""
        return self._timer is None

    def add(self, stream: WaitingStream, due: float) -> None:
        self._due[stream] = due
        if due < self._next:
            self._set_timer(due)

    def remove(self, stream: WaitingStream) -> None:
        self._due.pop(stream, None)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._call_due)

    def _call_due(self) -> None:
        loop, now = asyncio.get_running_loop(), time.monotonic()
        self._next, self._timer = inf, None
        for stream in [stream for stream, due in self._due.items() if due <= now]:
            del self._due[stream]
            # Each by itself: a failure of one holds up no other.
            loop.call_soon(stream.send_keep_alive)
        if self._due:
            self._set_timer(min(self._due.values()))
