"""The simulated time of the machines in tests, with the events that are to come."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from math import inf


class Timeline:
    """The time of machines that decide when an event happens, and at times of their own.

    All times are in seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def dues(self) -> Iterable[float | None]:
        """Return when something must be decided without an event, None for never."""
        raise NotImplementedError

    def tick(self) -> None:
        """Decide what is due now."""
        raise NotImplementedError

    def moved(self) -> None:
        """Take in that something was decided, or has happened."""

    def at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def run(self, until: float) -> None:
        """Let time pass, with whatever is due in between."""
        while True:
            due = min((due for due in self.dues() if due is not None), default=inf)
            at = self._events[0][0] if self._events else inf
            if min(due, at) > until:
                self.now = until
                return
            if due < at:
                self.now = max(self.now, due)
                self.tick()
            else:
                self.now, _, act = heapq.heappop(self._events)
                act()
            self.moved()

    def wait(self, seconds: float) -> None:
        self.run(self.now + seconds)
