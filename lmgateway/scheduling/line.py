"""The line before the GPU: which of the waiting requests may run now.

Every method takes the time, in seconds of a monotonic clock, and returns what is to be done. Nothing here
waits or does I/O, so that a schedule of hours is tested in a moment.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from msgspec import Struct

from .accounts import Accounts
from .machines import Machines
from .slots import Instance, Lease
from .tickets import Ticket
from .waiting import OVERTAKEN_SECONDS, Reason, Waiter, Waiting

RefusalCode = Literal["queue_full", "key_queue_full"]


class Bounds(Struct, frozen=True, kw_only=True):
    """How many requests may wait, in all and of one account, and the bytes of their bodies."""

    waiting: int = 1000
    waiting_per_key: int = 400
    waiting_bytes: int = 268_435_456


DEFAULT_BOUNDS = Bounds()


class Line:
    """The owner of waiters, leases and accounts, and of the instances on which they run."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS, now: float = 0.0) -> None:
        self.bounds = bounds
        self.accounts = Accounts()
        self.machines = Machines()
        self.waiting = Waiting()
        self.running: dict[str, Lease] = {}
        self._of_key: Counter[str] = Counter()
        self._arrivals = 0
        self._now = now

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────

    def arrive(self, ticket: Ticket, now: float) -> list[Lease] | RefusalCode:
        """Put a request in line, and return the leases of those that may run now: usually this one.

        A refused request is in line no more.
        """
        self._pass_time(now)
        self.accounts.joined(ticket)
        waiter = Waiter(ticket, self._arrivals, now)
        self._arrivals += 1
        if not self.waiting and (lease := self._let_in(waiter, now)) is not None:
            return [lease]
        self.waiting.add(waiter)
        leases = self._dispatch(now)
        code = self._why_full(ticket) if ticket.request_id in self.waiting else None
        if code is None:
            return leases
        self._forget(waiter, now)
        return code

    def leave(self, request_id: str, now: float) -> list[Lease]:
        """Take a waiting request out of the line."""
        self._pass_time(now)
        self._forget(self.waiting[request_id], now)
        return self._dispatch(now)

    def linger(self, lease: Lease, until: float, now: float) -> None:
        """Record that a request's client has left in its prompt, which LM Studio still processes."""
        self._pass_time(now)
        lease.phase, lease.lingers_until = "lingering", until

    def release(self, lease: Lease, now: float) -> list[Lease]:
        """End a lease, because LM Studio is done with it."""
        self._pass_time(now)
        self._end(lease, now)
        return self._dispatch(now)

    def observe(self, instance: Instance, running: int, now: float) -> list[Lease]:
        """Take in how many requests LM Studio says that an instance has.

        Those that aren't the gateway's are of others. If there are fewer than the gateway's, lingering ones
        are done.
        """
        self._pass_time(now)
        lingering = [lease for lease in instance.leases if lease.phase == "lingering"]
        for lease in lingering[: max(len(instance.leases) - running, 0)]:
            self._end(lease, now)
        instance.outside = max(running - len(instance.leases), 0)
        return self._dispatch(now)

    def put(self, instance: Instance, now: float) -> list[Lease]:
        """Add an instance, or take in that one has changed."""
        self._pass_time(now)
        self.machines.add(instance)
        return self._dispatch(now)

    def tick(self, now: float) -> tuple[list[Waiter], list[Lease]]:
        """Return the requests that have waited too long, which are in line no more, and the new leases."""
        self._pass_time(now)
        expired = [waiter for waiter in self.waiting if waiter.expires_at <= now]
        for waiter in expired:
            self._forget(waiter, now)
        for lease in [lease for lease in self.running.values() if (lease.lingers_until or now + 1) <= now]:
            self._end(lease, now)
        return expired, self._dispatch(now)

    def due(self, now: float) -> float | None:
        """Return when `tick` is needed next, None if it isn't."""
        times = [time for waiter in self.waiting for time in waiter.dues if time > now]
        times += [lease.lingers_until for lease in self.running.values() if lease.lingers_until is not None]
        return min(times, default=None)

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def _dispatch(self, now: float) -> list[Lease]:
        """Let in all requests that may run now, in their order; return their leases."""
        leases: list[Lease] = []
        while (lease := self._let_next_in(now)) is not None:
            leases.append(lease)
        return leases

    def _let_next_in(self, now: float) -> Lease | None:
        groups = sorted(self.waiting.groups(), key=lambda group: self._order(group[0], now))
        for group in groups:
            for waiter in group:
                lease = self._let_in(waiter, now)
                if lease is not None:
                    self.waiting.remove(waiter)
                    return lease
                if waiter.reason != "context":
                    break  # the others of the group wait for the same
        return None

    def _order(self, waiter: Waiter, now: float) -> tuple[bool, tuple[float, float], int]:
        """Interactive before background, then the account with the least, then the oldest."""
        return waiter.promoted_at > now, self.accounts.rank(waiter.ticket), waiter.number

    def _let_in(self, waiter: Waiter, now: float) -> Lease | None:
        """Return a lease if the request may run now; otherwise record why not."""
        found = self._instance_for(waiter, now)
        if not isinstance(found, Instance):
            waiter.reason = found
            return None
        ticket = waiter.ticket
        lease = Lease(ticket, found, now, self.machines.needs(found, ticket))
        found.add(lease)
        self.running[ticket.request_id] = lease
        self._of_key[ticket.account.key] += 1
        if found.context is not None:
            for other in self.waiting:
                if other.reason == "context" and other.ticket.model == ticket.model and other is not waiter:
                    other.overtaken_since = now if other.overtaken_since is None else other.overtaken_since
        return lease

    def _instance_for(self, waiter: Waiter, now: float) -> Instance | Reason:
        """Return the instance with the most free slots that the request may run on, or why there is none."""
        ticket = waiter.ticket
        if ticket.key_limit is not None and self._of_key[ticket.account.key] >= ticket.key_limit:
            return "key_limit"
        instances = self.machines.of(ticket)
        if not instances:
            return "model"
        spares = [one for one in instances if self._has_slot(one, waiter, now)]
        if not spares:
            return "slot"
        if any(one.context is not None for one in spares) and self._is_closed_to(waiter, now):
            return "context"
        roomy = [one for one in spares if one.has_room_for(self.machines.needs(one, ticket))]
        if not roomy:
            return "context"
        return max(roomy, key=lambda one: one.free)

    def _has_slot(self, instance: Instance, waiter: Waiter, now: float) -> bool:
        """True if the instance has a slot free that this request may take."""
        if instance.free <= 0:
            return False
        if instance.slots < 2:
            return True
        if waiter.promoted_at > now and instance.free < 2:
            return False  # the last one is for interactive requests
        account = waiter.ticket.account
        holds_all_but_one = instance.held.get(account, 0) >= instance.slots - 1
        return not (holds_all_but_one and self.accounts.has_company(account, now))

    def _is_closed_to(self, waiter: Waiter, now: float) -> bool:
        """True if another request, which was overtaken for too long, lets nobody in before it."""
        overtaken = (
            other
            for other in self.waiting
            if other.ticket.model == waiter.ticket.model
            and other.overtaken_since is not None
            and other.overtaken_since + OVERTAKEN_SECONDS <= now
        )
        first = min(overtaken, key=lambda other: other.number, default=waiter)
        return first is not waiter

    def _why_full(self, ticket: Ticket) -> RefusalCode | None:
        bounds, waiting = self.bounds, self.waiting
        if len(waiting) > bounds.waiting or waiting.bytes > bounds.waiting_bytes:
            return "queue_full"
        if waiting.of_account[ticket.account, ticket.user] > bounds.waiting_per_key:
            return "key_queue_full"
        return None

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def _pass_time(self, now: float) -> None:
        for instances in self.machines.by_box():
            self.accounts.pass_time(now - self._now, instances)
        self._now = now

    def _forget(self, waiter: Waiter, now: float) -> None:
        self.waiting.remove(waiter)
        self.accounts.left(waiter.ticket, now)

    def _end(self, lease: Lease, now: float) -> None:
        lease.instance.remove(lease)
        del self.running[lease.ticket.request_id]
        self._of_key[lease.ticket.account.key] -= 1
        self.accounts.left(lease.ticket, now)
