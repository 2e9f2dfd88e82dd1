"""Who has had how much of the machines, in seconds: what passes is split evenly among what runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from .slots import Instance, Lease
from .tickets import Account, Ticket
from .virtual_times import VirtualTimes

# So long after its last request an account keeps a slot free for its next one.
RECENT_SECONDS = 600.0


class Accounts:
    """The owner of the accounts: seconds used, virtual times, and who was active lately."""

    def __init__(self) -> None:
        self._turns: VirtualTimes[Account] = VirtualTimes()
        # By key with a user header, the times of its users.
        self._users: dict[str, VirtualTimes[str]] = {}
        self._recent: OrderedDict[Account, float] = OrderedDict()
        self.seconds: dict[str, float] = {}
        self.outside_seconds = 0.0
        self.busy_seconds = 0.0

    def rank(self, ticket: Ticket) -> tuple[float, float]:
        """Return the order of a request's account: the one with the least comes first."""
        of_user = 0.0 if ticket.user is None else self._users[ticket.account.key].of(ticket.user)
        return self._turns.of(ticket.account), of_user

    def behind(self, account: Account) -> float:
        """Return how many seconds less the account has had than the one that has had the most."""
        return self._turns.most() - self._turns.of(account)

    def joined(self, ticket: Ticket) -> None:
        """Count a request that waits or runs."""
        self._turns.activate(ticket.account)
        if ticket.user is not None:
            self._users.setdefault(ticket.account.key, VirtualTimes()).activate(ticket.user)

    def left(self, ticket: Ticket, now: float) -> None:
        """Count a request less."""
        account = ticket.account
        self._turns.deactivate(account)
        if ticket.user is not None:
            self._users[account.key].deactivate(ticket.user)
        self._recent.pop(account, None)
        self._recent[account] = now

    @property
    def active(self) -> Collection[Account]:
        return self._turns.active

    def has_company(self, account: Account, now: float) -> bool:
        """True if another account had a request in line or running within the last ten minutes."""
        while self._recent and next(iter(self._recent.values())) <= now - RECENT_SECONDS:
            self._recent.popitem(last=False)
        active = self._turns.active
        if len(active) > (account in active):
            return True
        return len(self._recent) > (account in self._recent)

    def pass_time(self, seconds: float, instances: Iterable[Instance]) -> None:
        """Charge the time that has passed on one box to what runs there."""
        running = [lease for instance in instances for lease in instance.leases]
        outside = sum(instance.outside for instance in instances)
        runners = len(running) + outside
        if not runners:
            return
        part = seconds / runners
        self.busy_seconds += seconds
        self.outside_seconds += part * outside
        for lease in running:
            self._charge(lease, part)

    def _charge(self, lease: Lease, seconds: float) -> None:
        ticket = lease.ticket
        lease.gpu_seconds += seconds
        self.seconds[ticket.account.key] = self.seconds.get(ticket.account.key, 0.0) + seconds
        self._turns.charge(ticket.account, seconds / ticket.share)
        if ticket.user is not None:
            self._users[ticket.account.key].charge(ticket.user, seconds)
