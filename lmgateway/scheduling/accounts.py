"""Who has had how much of the machines, in seconds: what passes is split evenly among what runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from .box_times import BoxTime
from .load_costs import LoadCost
from .slots import Instance, Lease
from .tickets import Account, Terms, Ticket
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
        # Of accounts that were forgotten, by key.
        self._forgotten: defaultdict[str, float] = defaultdict(float)
        self._turns: VirtualTimes[Account] = VirtualTimes(self._forget)
        # By key with a user header, the times of its users.
        self._users: dict[str, VirtualTimes[str]] = {}
        self._boxes: dict[str, BoxTime] = {}
        self._loads: list[LoadCost] = []
        # Of loads that nobody waited for.
        self._unpaid_seconds = 0.0

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
        account, latest = group.account, self._turns.latest
        standing = latest.get(account)
        if standing is None or (not standing.count and len(latest) > 1):
            standing = self._activate(account, now)
        standing.count += 1
        if (user := group.user) is None:
            return (standing,)
        users = self._users.setdefault(account.key, VirtualTimes())
        of_user = users.latest.get(user)
        if of_user is None or (not of_user.count and len(users.latest) > 1):
            self.advance(now)
            of_user = users.activate(user)
        of_user.count += 1
        return standing, of_user

    def _activate(self, account: Account, now: float) -> Standing:
        self.advance(now)
        terms = self._terms(account.key)
        standing = self._turns.activate(account, terms.share)
        standing.limit = terms.running
        return standing

    def ended(self, lease: Lease, now: float) -> None:
        """Charge a lease no more, and count a request less."""
        seconds = lease.box.advance(now, -1) - lease.charged
        lease.gpu_seconds += seconds
        for standing in lease.standings:
            standing.seconds += seconds
            standing.time += seconds / standing.share
            standing.count -= 1
            standing.last = now

    def left(self, standings: Sequence[Standing], now: float) -> None:
        """Count a request less that hasn't run."""
        for standing in standings:
            standing.count -= 1
            standing.last = now

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
        for account, standing in self._turns.latest.items():
            standing.share, standing.limit = self._terms(account.key)

    def time_of(self, instance: Instance, now: float) -> BoxTime:
        """Return the time of the instance's box."""
        instance.time = self._boxes.get(instance.id.box) or BoxTime(now)
        self._boxes[instance.id.box] = instance.time
        return instance.time

    # ── Company ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def active(self) -> Mapping[Account, Standing]:
        """Those with something running or waiting."""
        return self._turns.active

    def has_company(self, account: Account, now: float) -> bool:
        """True if another account had a request in line or running within the last ten minutes."""
        lately = now - RECENT_SECONDS
        for other, standing in self._turns.latest.items():
            if other != account and (standing.count or standing.last > lately):
                return True
        return self._turns.idle_since() > lately

    @property
    def company_ends(self) -> float | None:
        """When the only active account has no company any more, unless that changes before."""
        if len(self._turns.active) != 1:
            return None
        return self._turns.idle_since() + RECENT_SECONDS

    # ── Reports ────────────────────────────────────────────────────────────────────────────────────────────

    def standings(self) -> Iterator[tuple[Account, Standing]]:
        """Yield what each account has had, also those that aren't active."""
        return self._turns.all()

    def users(self, key: str) -> Iterator[tuple[str, Standing]]:
        """Yield what each user of a key has had."""
        return iter(()) if key not in self._users else self._users[key].all()

    def _forget(self, account: Account, standing: Standing) -> None:
        self._forgotten[account.key] += standing.seconds

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
