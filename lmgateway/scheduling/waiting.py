"""The requests that wait, in groups that differ in nothing but the order of arrival and their size."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from .tickets import Account, Group, Ticket
from .virtual_times import Standing

# So long a request may be overtaken by smaller ones; then nobody enters its context before it.
OVERTAKEN_SECONDS = 30.0
Reason = Literal["slot", "key_limit", "context", "model", "box"]


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits since `since`, by the monotonic clock; `number` is its place among all arrivals.

    `expires_at` is when it has waited too long, `promoted_at` when it begins to count as interactive. From
    `closes_at` on it lets no other request into the context that has no room for it.
    """

    ticket: Ticket
    standings: Sequence[Standing]
    number: int
    since: float
    reason: Reason = "slot"
    closes_at: float = inf
    expires_at: float = field(init=False)
    promoted_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.expires_at = self.since + self.ticket.group.max_wait
        self.promoted_at = self.since + self.ticket.group.background_seconds


class Waiting:
    """The owner of the waiting requests."""

    def __init__(self) -> None:
        self._groups: dict[Group, deque[Waiter]] = {}
        self.by_ticket: dict[Ticket, Waiter] = {}
        self.of_account: Counter[tuple[Account, str | None]] = Counter()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.by_ticket)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self.by_ticket.values())

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self.by_ticket

    def __getitem__(self, ticket: Ticket) -> Waiter:
        return self.by_ticket[ticket]

    def add(self, waiter: Waiter) -> None:
        ticket = waiter.ticket
        self.by_ticket[ticket] = waiter
        self._groups.setdefault(ticket.group, deque()).append(waiter)
        self.of_account[ticket.account, ticket.user] += 1
        self.bytes += ticket.body_bytes

    def remove(self, waiter: Waiter) -> None:
        ticket = waiter.ticket
        del self.by_ticket[ticket]
        group = self._groups[ticket.group]
        group.remove(waiter)
        if not group:
            del self._groups[ticket.group]
        self.of_account[ticket.account, ticket.user] -= 1
        if not self.of_account[ticket.account, ticket.user]:
            del self.of_account[ticket.account, ticket.user]
        self.bytes -= ticket.body_bytes

    def overtaken(self, model: str, now: float) -> None:
        """Take in that a request has entered a context for which others of this model wait."""
        for waiter in self:
            if waiter.reason == "context" and waiter.ticket.model == model:
                waiter.closes_at = min(waiter.closes_at, now + OVERTAKEN_SECONDS)

    def changes_after(self, decided: float) -> Iterator[float]:
        """Yield when requests have waited too long, and when rules change for them after this time."""
        for waiter in self:
            yield waiter.expires_at
            if waiter.promoted_at > decided:
                yield waiter.promoted_at
            if decided < waiter.closes_at < inf:
                yield waiter.closes_at

    def groups(self) -> Collection[Sequence[Waiter]]:
        """Return the groups, each in the order of arrival."""
        return self._groups.values()
