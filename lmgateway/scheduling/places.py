"""Where a request may run now, or why it must wait."""

from __future__ import annotations

from collections.abc import Callable

from .accounts import Accounts
from .machines import Machines
from .slots import Instance, InstanceId
from .tickets import Account, Terms, Ticket
from .waiting import OVERTAKEN_SECONDS, Reason, Waiter, Waiting


class Places:
    """Finds a slot for a request. `terms` and `slots` as for Line."""

    def __init__(
        self,
        machines: Machines,
        accounts: Accounts,
        waiting: Waiting,
        terms: Callable[[str], Terms],
        slots: Callable[[Ticket], int],
    ) -> None:
        self._machines = machines
        self._accounts = accounts
        self._waiting = waiting
        self._terms = terms
        self._slots = slots

    def find(self, ticket: Ticket, now: float, waiter: Waiter | None = None) -> Instance | Reason:
        """Return the instance with the most free slots that the request may run on, or why there is none.

        `waiter` is None for a request that has just arrived, while nobody waits.
        """
        limit = self._terms(ticket.account.key).running
        if limit is not None and self._running_of(ticket.account.key) >= limit:
            return "key_limit"
        instances = self._machines.of(ticket) or (self._assumed(ticket),)
        background = ticket.priority == "background" and (waiter is None or waiter.promoted_at > now)
        best: Instance | None = None
        why: Reason = "slot"
        for one in instances:
            if not self._has_slot(one, ticket.account, background=background):
                continue
            if one.context is not None and not self._has_room(one, ticket, now, waiter):
                why = "context"
            elif best is None or one.free > best.free:
                best = one
        return best or why

    def _running_of(self, key: str) -> int:
        instances = self._machines.instances.values()
        return sum(lease.ticket.account.key == key for one in instances for lease in one.leases)

    def _assumed(self, ticket: Ticket) -> Instance:
        """Return an instance for a model that isn't in memory: LM Studio may load it."""
        name = InstanceId(ticket.box, ticket.instance or ticket.model)
        made = Instance(name, ticket.model, self._slots(ticket), ticket.kind, is_listed=False)
        self._machines.add(made)
        return made

    def _has_slot(self, instance: Instance, account: Account, *, background: bool) -> bool:
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
        return held < instance.slots - 1 or not self._accounts.has_company(account)

    def _has_room(self, instance: Instance, ticket: Ticket, now: float, waiter: Waiter | None) -> bool:
        """True if the request may enter the instance's shared context."""
        if waiter is not None and self._is_closed_to(waiter, now):
            return False
        return instance.has_room_for(self._machines.needs(instance, ticket))

    def _is_closed_to(self, waiter: Waiter, now: float) -> bool:
        """True if another request, which was overtaken for too long, lets nobody in before it."""
        overtaken = (
            other
            for other in self._waiting
            if other.ticket.model == waiter.ticket.model
            and other.overtaken_since is not None
            and other.overtaken_since + OVERTAKEN_SECONDS <= now
        )
        first = min(overtaken, key=lambda other: other.number, default=waiter)
        return first is not waiter
