"""The time of a load, which those pay who wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .box_times import BoxTime
from .tickets import Account
from .virtual_times import Standing
from .waiting import Waiter


class LoadCost:
    """A load in progress on a box: it counts as one of what runs there."""

    def __init__(self, box: BoxTime, now: float) -> None:
        self.box = box
        self._charged = box.advance(now, 1)
        # By account, its standing and those of its users.
        self._payers: Mapping[Account, Sequence[Sequence[Standing]]] = {}

    def share_among(self, waiters: Iterable[Waiter]) -> None:
        """From now on let the accounts of these pay. It has been charged up to now."""
        payers: dict[Account, dict[str | None, Sequence[Standing]]] = {}
        for waiter in waiters:
            payers.setdefault(waiter.ticket.account, {})[waiter.ticket.user] = waiter.standings
        self._payers = {account: list(of_users.values()) for account, of_users in payers.items()}

    def charge(self, part: float) -> Iterator[tuple[str | None, float]]:
        """Charge what has passed up to this reading of the box; yield the seconds of each key.

        The key is None if nobody waits for the load.
        """
        seconds, self._charged = part - self._charged, part
        for account, of_users in self._payers.items():
            each = seconds / len(self._payers)
            of_account = of_users[0][0]
            of_account.seconds += each
            of_account.time += each / of_account.share
            for standings in of_users:
                for of_user in standings[1:]:
                    of_user.seconds += each / len(of_users)
                    of_user.time += each / len(of_users) / of_user.share
            yield account.key, each
        if not self._payers:
            yield None, seconds
