"""The time of a box, split evenly among what runs there at each moment."""

from __future__ import annotations


class BoxTime:
    """The time of one box, in seconds.

    `running` counts the leases and `outside` the requests of others. `part` is what a request that ran from
    the beginning has had of the time, so that the part of any other one is a difference of two readings.
    """

    __slots__ = ("_at", "busy", "outside", "outside_seconds", "part", "running")

    def __init__(self, now: float) -> None:
        self._at = now
        self.running = 0
        self.outside = 0
        self.part = 0.0
        self.busy = 0.0
        self.outside_seconds = 0.0

    def advance(self, now: float, more: int = 0) -> float:
        """Split the time since the last call, then count more leases, or fewer; return `part`."""
        if runners := self.running + self.outside:
            seconds = now - self._at
            part = seconds / runners
            self.part += part
            self.busy += seconds
            if self.outside:
                self.outside_seconds += part * self.outside
        self._at = now
        self.running += more
        return self.part
