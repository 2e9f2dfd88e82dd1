"""Least service first: the virtual time of each member of a group that shares something.

Source: VTC, "Fairness in Serving Large Language Models" (arXiv 2401.00588), with seconds in place of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from math import inf
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)

# Of members that aren't active, whose times only matter while they are above those of the active ones.
MAX_IDLE = 10_000


class Standing:
    """What one member has had: `seconds`, and `time`, which is the same divided by its share.

    `count` is how many requests it has running or waiting, and `limit` how many may run at once, None for any
    number; `last` is when one of them ended, or left the line.
    """

    __slots__ = ("count", "last", "limit", "seconds", "share", "time")

    def __init__(self, share: float) -> None:
        self.count = 0
        self.last = 0.0
        self.limit: int | None = None
        self.seconds = 0.0
        self.share = share
        self.time = 0.0


class VirtualTimes(Generic[Member]):
    """How much each member has had, divided by its share. The one with the least is the next.

    A member is active while it has something running or waiting. One that becomes active starts level with
    the least of the active ones, so that idle time saves nothing up. Whoever charges the members does it
    before one becomes active. `forget` is called with a member that has been idle for too long.
    """

    def __init__(self, forget: Callable[[Member, Standing], None] = lambda member, standing: None) -> None:
        self._forget = forget
        # Those that are active, and those that were until another one became active: alone, one that makes a
        # request after the other begins where it ended, and needn't be activated each time.
        self.latest: dict[Member, Standing] = {}
        # The one that has been idle for the longest time is the first.
        self._idle: dict[Member, Standing] = {}
        # The time of the member that was active last, for the first one that becomes active again.
        self._floor = 0.0

    def activate(self, member: Member, share: float = 1.0) -> Standing:
        """Return the standing of a member that becomes active."""
        least = min((one.time for one in self.active.values()), default=self._floor)
        standing = self._idle.pop(member, None) or Standing(share)
        standing.share, standing.time = share, max(standing.time, least)
        self.latest[member] = standing
        return standing

    @property
    def active(self) -> Mapping[Member, Standing]:
        """The active members. The others become idle now."""
        others = [(member, one) for member, one in self.latest.items() if not one.count]
        for member, standing in sorted(others, key=lambda one: one[1].last):
            self._idle[member] = self.latest.pop(member)
            if not self.latest:
                self._floor = max(self._floor, standing.time)
            if len(self._idle) > MAX_IDLE:
                oldest = next(iter(self._idle))
                self._forget(oldest, self._idle.pop(oldest))
        return self.latest

    def idle_since(self) -> float:
        """Return when the last of those that aren't active became idle, -inf if there are none."""
        newest = next(reversed(self._idle.values()), None)
        return -inf if newest is None else newest.last

    def all(self) -> Iterator[tuple[Member, Standing]]:
        """Yield the standings, of idle members too."""
        yield from self.active.items()
        yield from self._idle.items()
