"""The line over random schedules: what must hold after every event."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lmgateway.scheduling.accounts import RECENT_SECONDS
from lmgateway.scheduling.bounds import Bounds, Refusal
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.slots import Instance, Lease
from lmgateway.scheduling.tickets import Account, Terms
from lmgateway.scheduling.waiting import Waiter
from tests.scheduling.schedule import instance, ticket

keys = st.sampled_from(["alice", "bob", "carol"])
LIMITS = {"alice": 2, "bob": None, "carol": None}


class Lines(RuleBasedStateMachine):
    """Requests arrive, run, leave and end in any order; time passes; others use the machine."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.line = Line(
            Bounds(waiting=12, waiting_per_key=6, waiting_bytes=400),
            terms=lambda key: Terms(1.0, LIMITS[key]),
        )
        self.instances = [instance(1, name="one"), instance(3, name="three", context=4_000)]
        for one in self.instances:
            self.line.put(one, 0.0)
        self.arrived = self.ended = self.refused = 0
        self.seen: dict[Account, float] = {}

    def note(self, new: list[Lease]) -> list[Lease]:
        for lease in new:
            # Never more than the slots that others leave, at the moment in which it is let in.
            free = max(lease.instance.slots - lease.instance.outside, 1)
            assert len(lease.instance.leases) <= free
        return new

    @rule(
        target=leases,
        key=keys,
        background=st.booleans(),
        size=st.sampled_from([10, 3_000, 9_000]),
        user=st.sampled_from([None, "u", "v"]),
    )
    def arrive(self, key: str, background: bool, size: int, user: str | None) -> object:
        request = ticket(
            key,
            priority="background" if background else "interactive",
            prompt_bytes=size,
            body_bytes=10,
            max_tokens=100,
            max_wait=300.0,
            user=user if key == "carol" and user else None if key != "carol" else "",
        )
        self.arrived += 1
        outcome = self.line.arrive(request, self.now)
        if isinstance(outcome, Refusal):
            self.refused += 1
            return multiple(*self.note(outcome.leases))
        return multiple(*self.note(outcome))

    @rule(target=leases, lease=consumes(leases))
    def end(self, lease: Lease) -> object:
        if lease.ticket not in self.line.running:  # it lingered, and its time is over
            return multiple()
        self.ended += 1
        self.seen[lease.ticket.account] = self.now
        return multiple(*self.note(self.line.release(lease, self.now)))

    @rule(lease=leases)
    def linger(self, lease: Lease) -> None:
        if lease.ticket in self.line.running:
            self.line.linger(lease, self.now + 50, self.now)

    @rule(target=leases, index=st.integers(0, 11))
    def leave(self, index: int) -> object:
        waiters = list(self.line.waiting)
        if index >= len(waiters):
            return multiple()
        self.ended += 1
        self.seen[waiters[index].ticket.account] = self.now
        return multiple(*self.note(self.line.leave(waiters[index].ticket, self.now)))

    @rule(target=leases, seconds=st.sampled_from([0.5, 20.0, 700.0]))
    def wait(self, seconds: float) -> object:
        """Let time pass, with a tick whenever one is due."""
        until, new = self.now + seconds, []
        while self.now < until:
            due = self.line.due(self.now)
            self.now = until if due is None else min(due, until)
            before = len(self.line.running)
            expired, let_in = self.line.tick(self.now)
            for waiter in expired:
                self.seen[waiter.ticket.account] = self.now
            self.ended += len(expired) + before + len(let_in) - len(self.line.running)
            new += self.note(let_in)
        return multiple(*new)

    @rule(target=leases, index=st.integers(0, 1), others=st.integers(0, 3))
    def observe(self, index: int, others: int) -> object:
        one = self.instances[index]
        running = len([lease for lease in one.leases if lease.phase != "lingering"]) + others
        before = len(self.line.running)
        new = self.note(self.line.observe(one, running, self.now))
        self.ended += before + len(new) - len(self.line.running)
        return multiple(*new)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """By the rules of their own: none of those that wait could run."""
        for waiter in self.line.waiting:
            assert not any(self.could_run(waiter, one) for one in self.instances), waiter

    def could_run(self, waiter: Waiter, one: Instance) -> bool:
        request, now = waiter.ticket, self.now
        ours = max(one.slots - one.outside, 1)
        of_key = [lease for lease in self.line.running.values() if lease.ticket.account == request.account]
        if (limit := LIMITS[request.account.key]) is not None and len(of_key) >= limit:
            return False
        is_background = request.priority == "background" and now - waiter.since < 120
        if len(one.leases) + (is_background and one.slots > 1) >= ours:
            return False
        there = {lease.ticket.account for lease in self.line.running.values()}
        there |= {other.ticket.account for other in self.line.waiting}
        lately = {account for account, at in self.seen.items() if now - at < RECENT_SECONDS}
        held = sum(lease.instance is one for lease in of_key)
        if one.slots > 1 and (there | lately) - {request.account} and held >= one.slots - 1:
            return False
        if one.context is None:
            return not self.is_door_closed(waiter)
        needed = self.line.machines.needs(one, request)
        taken = sum(lease.reserved for lease in one.leases)
        return (not one.leases or taken + needed <= one.context) and not self.is_door_closed(waiter)

    def is_door_closed(self, waiter: Waiter) -> bool:
        return any(other is not waiter and self.now >= other.closes_at for other in self.line.waiting)

    @invariant()
    def the_accounts_add_up_to_the_busy_time(self) -> None:
        accounts = self.line.accounts
        ended = sum(accounts.ended_seconds.values())
        running = sum(lease.seconds_so_far for lease in self.line.running.values())
        total = ended + running + accounts.outside_seconds
        assert abs(total - accounts.busy_seconds) < 1e-6 * max(self.now, 1)

    @invariant()
    def every_request_has_one_end(self) -> None:
        still = len(self.line.waiting) + len(self.line.running)
        assert self.arrived == self.refused + self.ended + still

    @invariant()
    def who_has_nothing_is_not_active(self) -> None:
        there = {one.ticket.account for one in (*self.line.waiting, *self.line.running.values())}
        assert set(self.line.accounts.active) == there


TestLines = Lines.TestCase
