"""Least service first: the virtual time of each member of a group that shares something.

Source: VTC, "Fairness in Serving Large Language Models" (arXiv 2401.00588), with seconds in place of tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from .box_times import BoxTime

Member = TypeVar("Member", bound=Hashable)

# Of members that aren't active, whose times only matter while they are above those of the active ones.
MAX_IDLE = 10_000


class Standing:
    """What one member has had: `seconds`, and `time`, which is the same divided by its share.

    Both are right after `settle`. `count` is how many requests it has running or waiting.
    """

    __slots__ = ("_runs", "count", "seconds", "share", "time")

    def __init__(self, share: float) -> None:
        self.count = 0
        self.seconds = 0.0
        self.share = share
        self.time = 0.0
        # By box: how many of its requests run there, and the box's part up to which they are charged.
        self._runs: dict[BoxTime, tuple[int, float]] = {}

    def run(self, box: BoxTime, more: int) -> None:
        """Count requests that begin to run on a box, or fewer that do."""
        part = box.part
        count, mark = self._runs.get(box, _NO_RUN)
        if count:
            had = (part - mark) * count
            self.seconds += had
            self.time += had / self.share
        if count + more:
            self._runs[box] = (count + more, part)
        else:
            del self._runs[box]

    def settle(self) -> None:
        """Charge what its requests have had since the last call."""
        for box in self._runs:
            self.run(box, 0)

    @property
    def running(self) -> int:
        return sum(count for count, _ in self._runs.values())


_NO_RUN = (0, 0.0)


class VirtualTimes(Generic[Member]):
    """How much each member has had, divided by its share. The one with the least is the next.

    A member is active while it has something running or waiting. One that becomes active starts level with
    the least of the active ones, so that idle time saves nothing up.
    """

    def __init__(self) -> None:
        self._active: dict[Member, Standing] = {}
        # The one that has been idle for the longest time is the first.
        self._idle: dict[Member, Standing] = {}
        # The time of the member that was active last, for the first one that becomes active again.
        self._floor = 0.0

    @property
    def active(self) -> Mapping[Member, Standing]:
        return self._active

    def of(self, member: Member) -> float:
        """Return the virtual time of an active member."""
        standing = self._active[member]
        standing.settle()
        return standing.time

    def least(self) -> float:
        """Return the least time of the active members."""
        return min((self.of(member) for member in self._active), default=self._floor)

    def activate(self, member: Member, share: float = 1.0) -> bool:
        """Count one more request that it has running or waiting; return whether it is the first."""
        standing = self._active.get(member)
        if standing is not None:
            standing.count += 1
            return False
        standing = self._idle.pop(member, None) or Standing(share)
        standing.share, standing.time = share, max(standing.time, self.least())
        standing.count = 1
        self._active[member] = standing
        return True

    def deactivate(self, member: Member) -> bool:
        """Count one request less, and return whether it was the last."""
        standing = self._active[member]
        standing.count -= 1
        if standing.count:
            return False
        standing.settle()
        self._idle[member] = self._active.pop(member)
        if not self._active:
            self._floor = max(self._floor, standing.time)
        if len(self._idle) > MAX_IDLE:
            del self._idle[next(iter(self._idle))]
        return True

    def set_share(self, member: Member, share: float) -> None:
        """Change the share of an active member from now on."""
        standing = self._active[member]
        standing.settle()
        standing.share = share

    def all(self) -> Iterator[tuple[Member, Standing]]:
        """Yield the settled standings, of idle members too."""
        for member, standing in (*self._active.items(), *self._idle.items()):
            standing.settle()
            yield member, standing
