"""A line in which anything may happen, in any order, and what must hold after each event."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from lmgateway.scheduling.accounts import RECENT_SECONDS
from lmgateway.scheduling.bounds import Bounds, Refusal
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.slots import Instance, Lease
from lmgateway.scheduling.tickets import Account, Terms, Ticket
from lmgateway.scheduling.waiting import Waiter
from tests.scheduling.schedule import instance, ticket

KEYS = ("alice", "bob", "carol")
SIZES = (10, 3_000, 9_000)
USERS = (None, "u", "v")
PAUSES = (0.5, 20.0, 700.0)
MOST_WAITING = 12
MOST_OTHERS = 3
LIMITS = {"alice": 2, "bob": None, "carol": None}


class World:
    """Requests arrive, run, leave and end in any order; time passes; others use the machine."""

    def __init__(self) -> None:
        self.now = 0.0
        self.line = Line(
            Bounds(waiting=MOST_WAITING, waiting_per_key=6, waiting_bytes=400),
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

    def note_ends(self, tickets: Iterable[Ticket]) -> None:
        for one in tickets:
            self.ended += 1
            self.seen[one.account] = self.now

    def arrive(self, key: str, background: bool, size: int, user: str | None) -> list[Lease]:
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
            return self.note(outcome.leases)
        return self.note([outcome] if isinstance(outcome, Lease) else outcome)

    def end(self, lease: Lease) -> list[Lease]:
        if lease.ticket not in self.line.running:  # it lingered, and its time is over
            return []
        leases = self.note(self.line.release(lease, self.now))
        self.line.take_ended()  # this one, if it lingered
        self.note_ends([lease.ticket])
        return leases

    def linger(self, lease: Lease) -> None:
        if lease.phase == "running":
            self.line.linger(lease, self.now + 50, self.now)

    def leave(self, index: int) -> list[Lease]:
        waiters = list(self.line.waiting)
        if index >= len(waiters):
            return []
        self.note_ends([waiters[index].ticket])
        return self.note(self.line.leave(waiters[index].ticket, self.now))

    def wait(self, seconds: float) -> list[Lease]:
        """Let time pass, with a tick whenever one is due."""
        until, new = self.now + seconds, []
        while self.now < until:
            due = self.line.due()
            self.now = until if due is None else min(due, until)
            expired, let_in = self.line.tick(self.now)
            self.note_ends(waiter.ticket for waiter in expired)
            self.note_ends(lease.ticket for lease in self.line.take_ended())
            new += self.note(let_in)
        return new

    def observe(self, index: int, others: int) -> list[Lease]:
        one = self.instances[index]
        running = len([lease for lease in one.leases if lease.phase != "lingering"]) + others
        new = self.note(self.line.observe(one, running, self.now))
        self.note_ends(lease.ticket for lease in self.line.take_ended())
        return new

    def check(self) -> None:
        """What must hold after every event."""
        self.nobody_is_forgotten()
        self.the_accounts_add_up_to_the_busy_time()
        self.every_request_has_one_end()
        self.who_has_nothing_is_not_active()

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

    def the_accounts_add_up_to_the_busy_time(self) -> None:
        accounts = self.line.accounts
        accounts.advance(self.now)
        total = sum(accounts.seconds().values()) + accounts.outside_seconds
        assert abs(total - accounts.busy_seconds) < 1e-6 * max(self.now, 1)

    def every_request_has_one_end(self) -> None:
        still = len(self.line.waiting) + len(self.line.running)
        assert self.arrived == self.refused + self.ended + still

    def who_has_nothing_is_not_active(self) -> None:
        there = {one.ticket.account for one in (*self.line.waiting, *self.line.running.values())}
        assert set(self.line.accounts.active) == there


def walk(random: Random, steps: int) -> World:
    """Let so many events happen, each of which is checked."""
    world, leases = World(), list[Lease]()
    for _ in range(steps):
        event = random.randrange(10)
        if event < 4:
            key, is_background = random.choice(KEYS), random.random() < 0.5
            leases += world.arrive(key, is_background, random.choice(SIZES), random.choice(USERS))
        elif event < 6 and leases:
            leases += world.end(leases.pop(random.randrange(len(leases))))
        elif event == 6 and leases:
            world.linger(random.choice(leases))
        elif event == 7:
            leases += world.leave(random.randrange(MOST_WAITING))
        elif event == 8:
            leases += world.wait(random.choice(PAUSES))
        else:
            leases += world.observe(random.randrange(2), random.randrange(MOST_OTHERS + 1))
        world.check()
    return world
