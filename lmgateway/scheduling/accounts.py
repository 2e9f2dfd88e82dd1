"""Who has had how much of the machines, in seconds: what passes is split evenly among what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .box_times import BoxTime
from .slots import Instance, Lease
from .tickets import Account, Ticket
from .virtual_times import Standing, VirtualTimes

# So long after its last request an account keeps a slot free for its next one.
RECENT_SECONDS = 600.0


class Accounts:
    """The owner of the accounts: seconds used, virtual times, and who was active lately."""

    def __init__(self, now: float = 0.0) -> None:
        self._turns: VirtualTimes[Account] = VirtualTimes()
        # By key with a user header, the times of its users.
        self._users: dict[str, VirtualTimes[str]] = {}
        # When each account that isn't active had its last request; the oldest is the first.
        self._recent: dict[Account, float] = {}
        self._boxes: dict[str, BoxTime] = {}
        # Of leases that have ended, by key.
        self._seconds: dict[str, float] = {}
        self.now = now

    def box(self, name: str) -> BoxTime:
        time = self._boxes.get(name)
        if time is None:
            time = self._boxes[name] = BoxTime(self.now)
        return time

    def advance(self, now: float) -> None:
        """Charge the time that has passed to what runs."""
        self.now = now
        for box in self._boxes.values():
            box.advance(now)

    def rank(self, ticket: Ticket) -> tuple[float, float]:
        """Return the order of a request's account: the one with the least comes first."""
        of_user = 0.0 if ticket.user is None else self._users[ticket.account.key].of(ticket.user)
        return self._turns.of(ticket.account), of_user

    def joined(self, ticket: Ticket, share: float) -> None:
        """Count a request that waits or runs."""
        if self._turns.activate(ticket.account, share):
            self._recent.pop(ticket.account, None)
        if ticket.user is not None:
            self._users.setdefault(ticket.account.key, VirtualTimes()).activate(ticket.user)

    def left(self, ticket: Ticket) -> None:
        """Count a request less."""
        if self._turns.deactivate(ticket.account):
            self._recent[ticket.account] = self.now
            self._forget_old()
        if ticket.user is not None:
            self._users[ticket.account.key].deactivate(ticket.user)

    def began(self, lease: Lease) -> None:
        """Charge a lease from now on."""
        ticket, box = lease.ticket, lease.box
        # Looked up once: hashing an account takes as long as the rest.
        of_account = self._turns.active[ticket.account]
        if ticket.user is None:
            lease.standings = (of_account,)
        else:
            lease.standings = (of_account, self._users[ticket.account.key].active[ticket.user])
        for standing in lease.standings:
            standing.run(box, 1)
        box.running += 1
        lease.began_part = box.part

    def ended(self, lease: Lease) -> None:
        """Charge a lease no more."""
        box = lease.box
        lease.gpu_seconds = box.part - lease.began_part
        for standing in lease.standings:
            standing.run(box, -1)
        box.running -= 1
        key = lease.ticket.account.key
        self._seconds[key] = self._seconds.get(key, 0.0) + lease.gpu_seconds

    def set_outside(self, instance: Instance, count: int) -> None:
        """Take in how many requests of others run on an instance."""
        self.box(instance.id.box).outside += count - instance.outside
        instance.outside = count

    def set_shares(self, share_of: Callable[[str], float]) -> None:
        """Put new shares in force, by key."""
        for account in self._turns.active:
            self._turns.set_share(account, share_of(account.key))

    @property
    def active(self) -> Mapping[Account, Standing]:
        return self._turns.active

    def has_company(self, account: Account) -> bool:
        """True if another account had a request in line or running within the last ten minutes."""
        self._forget_old()
        active = self._turns.active
        others = len(active) - (account in active) + len(self._recent) - (account in self._recent)
        return others > 0

    @property
    def company_ends(self) -> float | None:
        """When the only active account has no company any more, unless that changes before."""
        if len(self._turns.active) != 1 or not self._recent:
            return None
        return self._recent[next(reversed(self._recent))] + RECENT_SECONDS

    def _forget_old(self) -> None:
        while self._recent:
            oldest = next(iter(self._recent))
            if self._recent[oldest] + RECENT_SECONDS > self.now:
                return
            del self._recent[oldest]

    # ── Reports ────────────────────────────────────────────────────────────────────────────────────────────

    def standings(self) -> Iterator[tuple[Account, Standing]]:
        """Yield what each account has had, also those that aren't active."""
        return self._turns.all()

    def users(self, key: str) -> Iterator[tuple[str, Standing]]:
        """Yield what each user of a key has had."""
        return iter(()) if key not in self._users else self._users[key].all()

    @property
    def ended_seconds(self) -> Mapping[str, float]:
        """The seconds of the leases that have ended, by key."""
        return self._seconds

    @property
    def busy_seconds(self) -> float:
        """The seconds in which something ran, of all boxes."""
        return sum(box.busy for box in self._boxes.values())

    @property
    def outside_seconds(self) -> float:
        """The seconds that requests of others have had."""
        return sum(box.outside_seconds for box in self._boxes.values())
