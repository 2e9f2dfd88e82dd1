"""Least service first: the virtual time of each member of a group that shares something.

Source: VTC, "Fairness in Serving Large Language Models" (arXiv 2401.00588), with seconds in place of tokens.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)

# Of members that aren't active, whose times only matter while they are above those of the active ones.
MAX_IDLE = 10_000


class VirtualTimes(Generic[Member]):
    """How much each member has had, divided by its share. The one with the least is the next.

    A member is active while it has something running or waiting. One that becomes active starts level with
    the least of the active ones, so that idle time saves nothing up.
    """

    def __init__(self) -> None:
        self._times: dict[Member, float] = {}
        self._active: dict[Member, int] = {}
        # The time of the member that was active last, for the first one that becomes active again.
        self._floor = 0.0

    def of(self, member: Member) -> float:
        return self._times.get(member, self._floor)

    def least(self) -> float:
        """Return the least time of the active members."""
        return min((self._times[member] for member in self._active), default=self._floor)

    def most(self) -> float:
        """Return the greatest time of the active members."""
        return max((self._times[member] for member in self._active), default=self._floor)

    def activate(self, member: Member) -> None:
        """Count one more thing that the member has running or waiting."""
        count = self._active.get(member, 0)
        if not count:
            level = max(self._times.pop(member, 0.0), self.least())
            self._times[member] = level
        self._active[member] = count + 1

    def deactivate(self, member: Member) -> None:
        """Count one thing less."""
        count = self._active[member] - 1
        if count:
            self._active[member] = count
            return
        del self._active[member]
        if not self._active:
            self._floor = max(self._floor, self._times[member])
        if len(self._times) - len(self._active) > MAX_IDLE:
            oldest = next(one for one in self._times if one not in self._active)
            del self._times[oldest]

    def charge(self, member: Member, amount: float) -> None:
        """Add to the time of an active member."""
        self._times[member] += amount

    @property
    def active(self) -> dict[Member, int]:
        return self._active
