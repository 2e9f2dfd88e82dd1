"""Who has had how much of the machines, in seconds: what passes is split evenly among what runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from .box_times import BoxTime
from .load_costs import LoadCost
from .slots import Instance, Lease
from .tickets import Account, Group, Terms, Ticket
from .virtual_times import Standing, VirtualTimes

# So long after its last request an account keeps a slot free for its next one.
RECENT_SECONDS = 600.0


class Accounts:
    """The owner of the accounts: seconds used, virtual times, and who was active lately.

    `running` are the leases that have not ended, `terms` returns those of a key. A lease and a load are
    charged when they end, and by `advance`: only then the figures of what runs are those of that moment.
    """

    def __init__(self, running: Collection[Lease], terms: Callable[[str], Terms]) -> None:
        self._running = running
        self._terms = terms
        self._turns: VirtualTimes[Account] = VirtualTimes()
        # By key with a user header, the times of its users.
        self._users: dict[str, VirtualTimes[str]] = {}
        # When each account that isn't active had its last request; the oldest is the first.
        self._recent: dict[Account, float] = {}
        self._boxes: dict[str, BoxTime] = {}
        # Of accounts that were forgotten, by key.
        self._forgotten: defaultdict[str, float] = defaultdict(float)
        self._loads: list[LoadCost] = []
        # Of loads that nobody waited for.
        self._unpaid_seconds = 0.0
        self.active = self._turns.active

    def advance(self, now: float) -> None:
        """Charge the time that has passed to what runs."""
        for box in self._boxes.values():
            box.advance(now)
        for lease in self._running:
            seconds, lease.charged = lease.box.part - lease.charged, lease.box.part
            lease.gpu_seconds += seconds
            for standing in lease.standings:
                standing.seconds += seconds
                standing.time += seconds / standing.share
        for load in self._loads:
            self._unpaid_seconds += load.charge(load.box.part)

    # ── Requests ───────────────────────────────────────────────────────────────────────────────────────────

    def joined(self, ticket: Ticket, now: float) -> Sequence[Standing]:
        """Count a request that waits or runs, and return the standings that pay for it."""
        group = ticket.group
        account = group.account
        standing = self.active.get(account)
        if standing is None:
            self.advance(now)
            terms = self._terms(account.key)
            standing = self._turns.activate(account, terms.share)
            standing.limit = terms.running
            self._recent.pop(account, None)
        standing.count += 1
        if (user := group.user) is None:
            return (standing,)
        users = self._users.setdefault(account.key, VirtualTimes())
        of_user = users.active.get(user)
        if of_user is None:
            self.advance(now)
            of_user = users.activate(user)
        of_user.count += 1
        return standing, of_user

    def ended(self, lease: Lease, now: float) -> None:
        """Charge a lease no more, and count a request less."""
        lease.ended = now
        standings = lease.standings
        seconds = lease.box.advance(now, -1) - lease.charged
        lease.gpu_seconds += seconds
        for standing in standings:
            standing.seconds += seconds
            standing.time += seconds / standing.share
            standing.count -= 1
        if not standings[-1].count:  # else none is 0
            self._deactivate(lease.ticket.group, standings, now)

    def left(self, ticket: Ticket, standings: Sequence[Standing], now: float) -> None:
        """Count a request less."""
        for standing in standings:
            standing.count -= 1
        if not standings[-1].count:  # else none is 0
            self._deactivate(ticket.group, standings, now)

    def _deactivate(self, group: Group, standings: Sequence[Standing], now: float) -> None:
        """Take in that a request was the last of its account, or of its user."""
        account, user = group.account, group.user
        if user is not None:
            self._users[account.key].deactivate(user)
        if not standings[0].count:
            for old, forgotten in self._turns.deactivate(account):
                self._forgotten[old.key] += forgotten.seconds
            self._recent[account] = now
            self._forget_old(now)

    # ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────

    def load_began(self, box: str, now: float) -> LoadCost:
        """Charge a load from now on, to nobody until it is shared among those that wait for it."""
        time = self._boxes.setdefault(box, BoxTime(now))
        cost = LoadCost(time, now)
        self._loads.append(cost)
        return cost

    def load_ended(self, cost: LoadCost, now: float) -> None:
        """Charge a load no more."""
        self._unpaid_seconds += cost.charge(cost.box.advance(now, -1))
        self._loads.remove(cost)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def set_outside(self, instance: Instance, count: int, now: float) -> None:
        """Take in how many requests of others run on an instance."""
        box = instance.time or self.time_of(instance, now)
        box.add_outside(now, count - instance.outside)
        instance.outside = count

    def set_terms(self) -> None:
        """Put new terms of keys in force. The accounts have been advanced."""
        for account, standing in self.active.items():
            standing.share, standing.limit = self._terms(account.key)

    def time_of(self, instance: Instance, now: float) -> BoxTime:
        """Return the time of the instance's box."""
        instance.time = self._boxes.get(instance.id.box) or BoxTime(now)
        self._boxes[instance.id.box] = instance.time
        return instance.time

    # ── Company ────────────────────────────────────────────────────────────────────────────────────────────

    def has_company(self, account: Account, now: float) -> bool:
        """True if another account had a request in line or running within the last ten minutes."""
        self._forget_old(now)
        active = self.active
        others = len(active) - (account in active) + len(self._recent) - (account in self._recent)
        return others > 0

    @property
    def company_ends(self) -> float | None:
        """When the only active account has no company any more, unless that changes before."""
        if len(self.active) != 1 or not self._recent:
            return None
        return self._recent[next(reversed(self._recent))] + RECENT_SECONDS

    def _forget_old(self, now: float) -> None:
        while self._recent:
            oldest = next(iter(self._recent))
            if self._recent[oldest] + RECENT_SECONDS > now:
                return
            del self._recent[oldest]

    # ── Reports ────────────────────────────────────────────────────────────────────────────────────────────

    def standings(self) -> Iterator[tuple[Account, Standing]]:
        """Yield what each account has had, also those that aren't active."""
        return self._turns.all()

    def users(self, key: str) -> Iterator[tuple[str, Standing]]:
        """Yield what each user of a key has had."""
        return iter(()) if key not in self._users else self._users[key].all()

    def seconds(self) -> Mapping[str, float]:
        """Return what each key has had."""
        seconds = self._forgotten.copy()
        for account, standing in self._turns.all():
            seconds[account.key] += standing.seconds
        return seconds

    @property
    def busy_seconds(self) -> float:
        """The seconds in which something ran, of all boxes."""
        return sum(box.busy for box in self._boxes.values())

    @property
    def outside_seconds(self) -> float:
        """The seconds of requests of others, and of loads that none of the line waited for."""
        return sum(box.outside_seconds for box in self._boxes.values()) + self._unpaid_seconds
