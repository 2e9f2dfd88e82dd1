"""The time of a load, which those pay who wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .box_times import BoxTime
from .tickets import Account
from .virtual_times import Standing
from .waiting import Waiter


class LoadCost:
    """A load in progress on a box: it counts as one of what runs there."""

    def __init__(self, box: BoxTime, now: float) -> None:
        self.box = box
        self._charged = box.advance(now, 1)
        # Of each account, for each of its users: the account's standing and the user's.
        self._payers: Sequence[Sequence[Sequence[Standing]]] = ()

    def share_among(self, waiters: Iterable[Waiter]) -> None:
        """From now on let the accounts of these pay. It has been charged up to now."""
        payers: dict[Account, dict[str | None, Sequence[Standing]]] = {}
        for waiter in waiters:
            payers.setdefault(waiter.ticket.account, {})[waiter.ticket.user] = waiter.standings
        self._payers = [list(of_users.values()) for of_users in payers.values()]

    def charge(self, part: float) -> float:
        """Charge what has passed up to this reading of the box; return the seconds that nobody pays."""
        seconds, self._charged = part - self._charged, part
        for of_users in self._payers:
            each = seconds / len(self._payers)
            _charge(of_users[0][0], each)
            for standings in of_users:
                for of_user in standings[1:]:
                    _charge(of_user, each / len(of_users))
        return 0.0 if self._payers else seconds


def _charge(standing: Standing, seconds: float) -> None:
    standing.seconds += seconds
    standing.time += seconds / standing.share
