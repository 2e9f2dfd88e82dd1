"""The line before the GPU: which of the waiting requests may run now.

Every method takes the time, in seconds of a monotonic clock, and returns what is to be done. Nothing here
waits or does I/O, so that a schedule of hours is tested in a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from .accounts import Accounts
from .bounds import DEFAULT_BOUNDS, Bounds, Refusal
from .durations import Durations
from .machines import Machines
from .places import Places
from .slots import Instance, InstanceState, Lease, assumed
from .tickets import Terms, Ticket
from .virtual_times import Standing
from .waiting import Reason, Waiter, Waiting

UNLIMITED = Terms()
Order = tuple[bool, list[float], int]
"""Of a waiting request: the least is the next in turn."""


class Line:
    """The owner of waiters, leases and accounts, and of the instances on which they run.

    `terms` returns those of a key. `assume` returns what stands for the model of a request if it isn't in
    memory, or what the request waits for then.
    """

    def __init__(
        self,
        bounds: Bounds = DEFAULT_BOUNDS,
        now: float = 0.0,
        *,
        terms: Callable[[str], Terms] = lambda key: UNLIMITED,
        assume: Callable[[Ticket], Instance | Reason] = assumed,
    ) -> None:
        self.bounds = bounds
        self.machines = Machines()
        self.waiting = Waiting()
        self.durations = Durations()
        self.running: dict[Ticket, Lease] = {}
        self.accounts = Accounts(self.running.values(), terms)
        # Seconds in which a request waited that could have run, because an event came late.
        self.late_seconds = 0.0
        self.lingering = 0
        self._ended_lingering: list[Lease] = []
        self.places = Places(self.machines, self.accounts, self.waiting, self.running.keys(), assume)
        self._arrivals = 0
        # When it was last decided who may run.
        self._decided = now
        self._next_due: float | None = None

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────

    def arrive(self, ticket: Ticket, now: float) -> Lease | list[Lease] | Refusal:
        """Return the lease of a request that may run at once while nobody waits: nearly every one.

        Any other is put in line; return the leases of those that may run now, maybe this one. A refused
        request is in line no more.
        """
        standings = self.accounts.joined(ticket, now)
        if not self.waiting.by_ticket:
            place = self.places.find(ticket, standings[0], now)
            if isinstance(place, Instance):
                return self._let_in(ticket, place, standings, now)
        waiter = Waiter(ticket, standings, self._arrivals, now)
        self._arrivals += 1
        self.waiting.add(waiter)
        leases = self.dispatch(now)
        code = self.bounds.exceeded_by(ticket, self.waiting) if ticket in self.waiting else None
        if code is None:
            return leases
        self._forget(waiter, now)
        return Refusal(code, leases)

    def leave(self, ticket: Ticket, now: float) -> list[Lease]:
        """Take a waiting request out of the line."""
        self._forget(self.waiting[ticket], now)
        return self.dispatch(now)

    def linger(self, lease: Lease, until: float, now: float) -> None:
        """Record that a request's client has left in its prompt, which LM Studio still processes."""
        self.accounts.advance(now)
        lease.phase, lease.lingers_until = "lingering", until
        self.lingering += 1

    def release(self, lease: Lease, now: float) -> list[Lease]:
        """End a lease, because LM Studio is done with it."""
        self._end(lease, now)
        return self.dispatch(now) if self.waiting.by_ticket else []

    def observe(self, instance: Instance, counted: int, now: float, *, unsure: int = 0) -> list[Lease]:
        """Take in how many requests LM Studio says that an instance has.

        Those that aren't the gateway's are of others. If there are fewer than the gateway's, lingering ones
        are done. `unsure` of the gateway's are so new that LM Studio may not have counted them.
        """
        if not instance.is_listed:
            return []  # it was unloaded while LM Studio was asked
        lingering = [lease for lease in instance.leases if lease.phase == "lingering"]
        for lease in lingering[: max(len(instance.leases) - unsure - counted, 0)]:
            self._end(lease, now)
        self.accounts.set_outside(instance, max(counted - len(instance.leases), 0), now)
        return self.dispatch(now)

    def put(self, instance: Instance, now: float) -> list[Lease]:
        """Add an instance, or take in that its slots, its model's type or its context have changed."""
        if self.machines.instances.get(instance.id) is not instance:
            instance.idle_since = now
        self.machines.add(instance)
        if instance.context is not None:
            for lease in instance.leases:  # of those that began before it was known to be shared
                lease.reserved = lease.reserved or self.machines.needs(instance, lease.ticket)
        return self.dispatch(now)

    def remove(self, instance: Instance, now: float) -> list[Lease]:
        """Take in that an instance isn't in memory any more. What runs on it ends in its own way.

        A lingering request ends now: nothing else would tell.
        """
        for lease in [one for one in instance.leases if one.phase == "lingering"]:
            self._end(lease, now)
        self.accounts.set_outside(instance, 0, now)
        instance.is_listed, instance.context, instance.origin = False, None, "outside"
        self.set_state(instance, "resident")
        self._drop_if_idle(instance)
        return self.dispatch(now)

    def change_terms(self, now: float) -> list[Lease]:
        """Put new terms of keys and new bounds in force."""
        self.accounts.advance(now)
        self.accounts.set_terms()
        return self.dispatch(now)

    def set_state(self, instance: Instance, state: InstanceState) -> None:
        """Open an instance for requests, or close it: then those that run on it end in their own way."""
        instance.state = state
        if state == "resident":
            self.machines.open(instance)
        else:
            self.machines.shut(instance)

    def tick(self, now: float) -> tuple[list[Waiter], list[Lease]]:
        """Return the requests that have waited too long, which are in line no more, and the new leases."""
        expired = [waiter for waiter in self.waiting if waiter.expires_at <= now]
        for waiter in expired:
            self._forget(waiter, now)
        for lease in [lease for lease in self.running.values() if (lease.lingers_until or now + 1) <= now]:
            self._end(lease, now)
        leases = self.dispatch(now)
        if leases and self._next_due is not None:
            self.late_seconds += max(now - self._next_due, 0.0)
        return expired, leases

    def take_ended(self) -> list[Lease]:
        """Return the leases that lingered and have ended since the last call."""
        ended, self._ended_lingering = self._ended_lingering, []
        return ended

    def due(self) -> float | None:
        """Return when `tick` is needed next, maybe a time that has passed; None if it isn't needed."""
        # What happened in between without a decision, such as a report, has decided nothing.
        decided = self._decided
        times = [*self.waiting.changes_after(decided)]
        if self.waiting and (ends := self.accounts.company_ends) is not None and ends > decided:
            times.append(ends)
        times += [lease.lingers_until for lease in self.running.values() if lease.lingers_until is not None]
        due = min(times, default=inf)
        self._next_due = None if due == inf else due
        return self._next_due

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def dispatch(self, now: float) -> list[Lease]:
        """Let in all requests that may run now, in their order; return their leases."""
        self._decided = now
        self.accounts.advance(now)
        leases: list[Lease] = []
        while self.waiting and (lease := self._let_next_in(now)) is not None:
            leases.append(lease)
        return leases

    def _let_next_in(self, now: float) -> Lease | None:
        self.places.begin_round(now)
        best: tuple[Order, Waiter, Instance] | None = None
        for group in self.waiting.groups():
            # Its order takes longer to find than that nothing is free.
            if best is not None and self.order(group[0], now) > best[0]:
                continue
            for waiter in group:
                place = self.places.find(waiter.ticket, waiter.standings[0], now, waiter)
                if isinstance(place, Instance):
                    best = self.order(group[0], now), waiter, place
                    break
                waiter.reason = place
                if place != "context":
                    break  # the others of the group wait for the same
        if best is None:
            return None
        _, waiter, place = best
        self.waiting.remove(waiter)
        return self._let_in(waiter.ticket, place, waiter.standings, now)

    def order(self, waiter: Waiter, now: float) -> Order:
        """Interactive before background, then the account with the least, then the oldest."""
        return waiter.promoted_at > now, [one.time for one in waiter.standings], waiter.number

    def _let_in(self, ticket: Ticket, place: Instance, standings: Sequence[Standing], now: float) -> Lease:
        if not place.is_listed:
            self.machines.add(place)
        box = place.time or self.accounts.time_of(place, now)
        lease = self.running[ticket] = Lease(ticket, place, box, standings, now, box.advance(now, 1))
        place.leases.append(lease)
        self.machines.serves(ticket, place.id.box)
        if place.context is not None:
            lease.reserved = self.machines.needs(place, ticket)
            self.waiting.overtaken(ticket.model, now)
        return lease

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def _forget(self, waiter: Waiter, now: float) -> None:
        self.waiting.remove(waiter)
        self.accounts.left(waiter.standings, now)

    def _end(self, lease: Lease, now: float) -> None:
        instance = lease.instance
        del self.running[lease.ticket]
        instance.leases.remove(lease)
        instance.idle_since = now
        if lease.phase == "lingering":
            self.lingering -= 1
            self._ended_lingering.append(lease)
        lease.phase = "ended"
        self.accounts.ended(lease, now)
        if lease.is_used:
            self.durations.learn(instance.model, now - lease.began)
        if not instance.is_listed:
            self._drop_if_idle(instance)

    def _drop_if_idle(self, instance: Instance) -> None:
        # Clients choose the names of models, so one that isn't in memory is forgotten.
        if not instance.leases:
            self.machines.discard(instance)
