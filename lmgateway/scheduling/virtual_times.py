"""Least service first: the virtual time of each member of a group that shares something.

Source: VTC, "Fairness in Serving Large Language Models" (arXiv 2401.00588), with seconds in place of tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)

# Of members that aren't active, whose times only matter while they are above those of the active ones.
MAX_IDLE = 10_000


class Standing:
    """What one member has had: `seconds`, and `time`, which is the same divided by its share.

    `count` is how many requests it has running or waiting, `limit` how many may run at once, None for any
    number.
    """

    __slots__ = ("count", "limit", "seconds", "share", "time")

    def __init__(self, share: float) -> None:
        self.count = 0
        self.limit: int | None = None
        self.seconds = 0.0
        self.share = share
        self.time = 0.0


class VirtualTimes(Generic[Member]):
    """How much each member has had, divided by its share. The one with the least is the next.

    A member is active while it has something running or waiting. One that becomes active starts level with
    the least of the active ones, so that idle time saves nothing up. Whoever charges the members does it
    before one becomes active.
    """

    def __init__(self) -> None:
        self.active: dict[Member, Standing] = {}
        # The one that has been idle for the longest time is the first.
        self._idle: dict[Member, Standing] = {}
        # The time of the member that was active last, for the first one that becomes active again.
        self._floor = 0.0

    def activate(self, member: Member, share: float = 1.0) -> Standing:
        """Return the standing of a member that becomes active."""
        least = min((one.time for one in self.active.values()), default=self._floor)
        standing = self._idle.pop(member, None) or Standing(share)
        standing.share, standing.time = share, max(standing.time, least)
        self.active[member] = standing
        return standing

    def deactivate(self, member: Member) -> Sequence[tuple[Member, Standing]]:
        """Take in that a member has nothing running or waiting any more; return those that are forgotten."""
        standing = self._idle[member] = self.active.pop(member)
        if not self.active:
            self._floor = max(self._floor, standing.time)
        if len(self._idle) > MAX_IDLE:
            oldest = next(iter(self._idle))
            return ((oldest, self._idle.pop(oldest)),)
        return ()

    def all(self) -> Iterator[tuple[Member, Standing]]:
        """Yield the standings, of idle members too."""
        yield from self.active.items()
        yield from self._idle.items()
