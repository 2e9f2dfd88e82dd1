"""Where a request may run now, or why it must wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .accounts import Accounts
from .machines import Machines
from .slots import Instance
from .tickets import Account, Ticket, Wanted
from .virtual_times import Standing
from .waiting import Reason, Waiter, Waiting


class Places:
    """Finds a slot for a request. `assume` as for Line."""

    def __init__(
        self,
        machines: Machines,
        accounts: Accounts,
        waiting: Waiting,
        running: Collection[Ticket],
        assume: Callable[[Ticket], Instance | Reason],
    ) -> None:
        self._machines = machines
        self._accounts = accounts
        self._waiting = waiting
        self._running = running
        self._assume = assume
        # By model, the request that was overtaken for too long: nobody enters its context before it.
        self._closed_by: dict[str, Waiter] = {}
        # Of the round, for what not even one slot is free.
        self._full: set[Wanted] = set()

    def find(
        self, ticket: Ticket, account: Standing, now: float, waiter: Waiter | None = None
    ) -> Instance | Reason:
        """Return the instance with the most free slots that the request may run on, or why there is none.

        It may be a new one, for a model that isn't in memory. `waiter` is None for a request that has just
        arrived, while nobody waits. `account` is the standing of the request's account.
        """
        group = ticket.group
        if account.limit is not None and self._running_of(group.account.key) >= account.limit:
            return "key_limit"
        only = self._machines.only.get(group.wanted)
        if only is not None and only.context is None and len(only.leases) + only.outside < only.slots - 1:
            return only  # nearly every request: two slots are free, and no context is shared
        if waiter is not None and group.wanted in self._full:
            return "slot"
        instances = self._machines.of(ticket)
        if self._machines.doubtful:
            sure = [one for one in instances if one.id.box not in self._machines.doubtful]
            if not sure and (instances or self._machines.knows_no_box(group.wanted)):
                return "box"
            instances = sure
        if not instances or not instances[0].is_listed:
            assumed = self._assume(ticket)
            if not isinstance(assumed, Instance):
                return assumed
            instances = instances or (assumed,)
        return self._best_of(instances, ticket, now, waiter)

    def _best_of(
        self, instances: Sequence[Instance], ticket: Ticket, now: float, waiter: Waiter | None
    ) -> Instance | Reason:
        group = ticket.group
        background = group.priority == "background" and (waiter is None or waiter.promoted_at > now)
        best: Instance | None = None
        why: Reason = "slot"
        for one in instances:
            if not self._has_slot(one, ticket.account, now, background=background):
                continue
            if one.context is not None and not self._has_room(one, ticket, waiter):
                why = "context"
            elif best is None or self._is_better(one, best, ticket):
                best = one
        if why == "slot" and waiter is not None and all(one.free <= 0 for one in instances):
            self._full.add(group.wanted)
        return best or why

    def _is_better(self, one: Instance, best: Instance, ticket: Ticket) -> bool:
        """True if a request goes there rather than to the best so far.

        The box that served the beginning of its conversation still has that prompt in its cache; else the box
        with the least to do is the fastest.
        """
        box, other = one.id.box, best.id.box
        if box == other:
            return one.free > best.free
        if (last := self._machines.served_by(ticket)) in {box, other}:
            return last == box
        return self._machines.running_on(box) < self._machines.running_on(other)

    def _running_of(self, key: str) -> int:
        return sum(ticket.account.key == key for ticket in self._running)

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
