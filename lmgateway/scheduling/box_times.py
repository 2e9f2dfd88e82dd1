"""The time of a box, split evenly among what runs there at each moment."""

from __future__ import annotations


class BoxTime:
    """The time of one box, in seconds.

    `part` is what a request that ran from the beginning has had of the time, so that the part of any other
    one is a difference of two readings. All figures are those of the last call. A load counts as a lease.
    """

    __slots__ = (
        "_at",
        "_began",
        "_idle",
        "_outside",
        "_outside_part",
        "_outside_seconds",
        "_running",
        "part",
    )

    def __init__(self, now: float) -> None:
        self._began = self._at = now
        self._idle = 0.0
        # What runs, and how many of it are requests of others.
        self._running = self._outside = 0
        self.part = 0.0
        # What the requests of others had when their number changed last, and what `part` was then.
        self._outside_seconds = self._outside_part = 0.0

    def advance(self, now: float, more: int = 0) -> float:
        """Split the time since the last call, then count more requests, or fewer; return `part`."""
        if self._running:
            self.part += (now - self._at) / self._running
        else:
            self._idle += now - self._at
        self._at = now
        self._running += more
        return self.part

    def add_outside(self, now: float, more: int) -> None:
        """Count more requests of others, or fewer."""
        self.advance(now, more)
        self._outside_seconds, self._outside_part = self.outside_seconds, self.part
        self._outside += more

    @property
    def busy(self) -> float:
        """The seconds in which something ran."""
        return self._at - self._began - self._idle

    @property
    def outside_seconds(self) -> float:
        """What the requests of others have had."""
        return self._outside_seconds + (self.part - self._outside_part) * self._outside
