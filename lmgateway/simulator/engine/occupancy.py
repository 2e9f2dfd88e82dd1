"""How full the slots of an instance, of a model or of all instances were."""

import asyncio
from collections.abc import Mapping


class Occupancy:
    """Counts of requests now and at most, and the busy time. Seconds are of the event loop's clock."""

    def __init__(self) -> None:
        self.running = 0
        self.queued = 0
        self.most_running = 0
        self.most_queued = 0
        self._busy_before = 0.0
        self._busy_since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """The time with at least one request in a slot."""
        if self._busy_since is None:
            return self._busy_before
        return self._busy_before + asyncio.get_running_loop().time() - self._busy_since

    def change(self, *, running: int, queued: int) -> None:
        """Add the differences, which may be negative."""
        self.running += running
        self.queued += queued
        self.most_running = max(self.most_running, self.running)
        self.most_queued = max(self.most_queued, self.queued)
        if self.running and self._busy_since is None:
            self._busy_since = asyncio.get_running_loop().time()
        elif not self.running and self._busy_since is not None:
            self._busy_before = self.busy_seconds
            self._busy_since = None

    def report(self) -> Mapping[str, object]:
        return {
            "running": self.running,
            "queued": self.queued,
            "most_running": self.most_running,
            "most_queued": self.most_queued,
            "busy_seconds": self.busy_seconds,
        }
