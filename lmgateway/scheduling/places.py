"""Where a request may run now, or why it must wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .accounts import Accounts
from .machines import Machines
from .slots import Instance, InstanceId
from .tickets import Account, Terms, Ticket
from .waiting import Reason, Waiter, Waiting


class Places:
    """Finds a slot for a request. `terms`, `slots` and `absence` as for Line."""

    def __init__(
        self,
        machines: Machines,
        accounts: Accounts,
        waiting: Waiting,
        running: Collection[Ticket],
        terms: Callable[[str], Terms],
        slots: Callable[[Ticket], int],
        absence: Callable[[Ticket], Reason | None],
    ) -> None:
        self._machines = machines
        self._accounts = accounts
        self._waiting = waiting
        self._running = running
        self._terms = terms
        self._slots = slots
        self._absence = absence
        # By model, the request that was overtaken for too long: nobody enters its context before it.
        self._closed_by: dict[str, Waiter] = {}
        # Of the round, where not even one slot is free: by model and identifier.
        self._full: set[tuple[str, str | None]] = set()

    def find(self, ticket: Ticket, now: float, waiter: Waiter | None = None) -> Instance | Reason:
        """Return the instance with the most free slots that the request may run on, or why there is none.

        It may be a new one, for a model that isn't in memory. `waiter` is None for a request that has just
        arrived, while nobody waits.
        """
        limit = self._terms(ticket.account.key).running
        if limit is not None and self._running_of(ticket.account.key) >= limit:
            return "key_limit"
        if waiter is not None and (ticket.model, ticket.instance) in self._full:
            return "slot"
        instances = self._machines.of(ticket)
        if not instances or not instances[0].is_listed:
            if (absent := self._absence(ticket)) is not None:
                return absent
            instances = instances or (self._assumed(ticket),)
        if len(instances) == 1 and instances[0].admits_any:
            return instances[0]  # nearly every request: what follows takes 1.5 µs more
        return self._best_of(instances, ticket, now, waiter)

    def _best_of(
        self, instances: Sequence[Instance], ticket: Ticket, now: float, waiter: Waiter | None
    ) -> Instance | Reason:
        background = ticket.priority == "background" and (waiter is None or waiter.promoted_at > now)
        best: Instance | None = None
        why: Reason = "slot"
        for one in instances:
            if not self._has_slot(one, ticket.account, now, background=background):
                continue
            if one.context is not None and not self._has_room(one, ticket, waiter):
                why = "context"
            elif best is None or one.free > best.free:
                best = one
        if why == "slot" and waiter is not None and all(one.free <= 0 for one in instances):
            self._full.add((ticket.model, ticket.instance))
        return best or why

    def _running_of(self, key: str) -> int:
        return sum(ticket.account.key == key for ticket in self._running)

    def _assumed(self, ticket: Ticket) -> Instance:
        """Return an instance for a model that isn't in memory: LM Studio may load it for the request."""
        name = InstanceId(ticket.box, ticket.instance or ticket.model)
        return Instance(name, ticket.model, self._slots(ticket), ticket.kind, is_listed=False)

    def _has_slot(self, instance: Instance, account: Account, now: float, *, background: bool) -> bool:
        """True if the instance has a slot free that a request of this account may take."""
        free = instance.free
        if free <= 0:
            return False
        if instance.slots < 2:
            return True
        if background and free < 2:
            return False  # the last one is for interactive requests
        if len(instance.leases) < instance.slots - 1:
            return True
        held = sum(lease.ticket.account == account for lease in instance.leases)
        return held < instance.slots - 1 or not self._accounts.has_company(account, now)

    def _has_room(self, instance: Instance, ticket: Ticket, waiter: Waiter | None) -> bool:
        """True if the request may enter the instance's shared context."""
        if waiter is not None and self._closed_by.get(ticket.model, waiter) is not waiter:
            return False
        return instance.has_room_for(self._machines.needs(instance, ticket))

    def begin_round(self, now: float) -> None:
        """Prepare for looking at all that wait, when they or what runs have changed."""
        self._full.clear()
        self._closed_by.clear()
        for waiter in self._waiting:  # the oldest first
            if waiter.closes_at <= now:
                self._closed_by.setdefault(waiter.ticket.model, waiter)
