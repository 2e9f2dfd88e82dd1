"""In which order the waiting requests will run, and when: estimates by the rule of the line."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .durations import Durations
from .line import Line
from .slots import Lease
from .tickets import Account, Ticket
from .virtual_times import Standing
from .waiting import Reason, Waiter

# What an answer costs if none of its model has ended yet. With any cost, accounts that are level alternate.
_UNKNOWN_SECONDS = 1.0
# An answer that takes longer than the mean is expected to go on for this part of what it has taken.
_LONGER = 0.25
# Until a model is in memory, other things decide than answers: loads, swaps, LM Studio.
_ABSENT: frozenset[Reason] = frozenset({"model", "box"})


class Forecast(NamedTuple):
    """What a request waits for, how many others are before it, and in how many seconds it may run.

    `seconds` is None if that can't be estimated.
    """

    reason: Reason
    ahead: int
    seconds: float | None


class _Row(NamedTuple):
    """Requests that wait for a slot of the model, or for others of the key, of this name."""

    of_key: bool
    name: str


def forecast(line: Line, now: float, durations: Durations) -> Mapping[Ticket, Forecast]:
    """Return what is to be expected for each waiting request. Its line has been advanced to `now`.

    Each account is charged in advance for what it has running, and for what is before another request: of a
    key with a hundred requests not all are before those of a key with one.
    """
    standings = dict(line.accounts.standings())
    reasons = _reasons(line)
    waiting: defaultdict[_Row, list[Waiter]] = defaultdict(list)
    for waiter in line.waiting:
        ticket = waiter.ticket
        of_key = reasons[ticket] == "key_limit"
        waiting[_Row(of_key, ticket.account.key if of_key else ticket.model)].append(waiter)
    running: defaultdict[_Row, list[Lease]] = defaultdict(list)
    for lease in line.running.values():
        running[_Row(False, lease.ticket.model)].append(lease)
        running[_Row(True, lease.ticket.account.key)].append(lease)
    return {
        # What runs on a model that leaves the memory frees no slot for those that wait for it.
        ticket: Forecast(reasons[ticket], ahead, None if reasons[ticket] in _ABSENT else seconds)
        for row, waiters in waiting.items()
        for ahead, (ticket, seconds) in enumerate(_expected(waiters, running[row], standings, now, durations))
    }


def _reasons(line: Line) -> Mapping[Ticket, Reason]:
    """Return what each request waits for.

    The line looks at those of a group in their order, and no further than the first that has no slot: the
    others wait for the same.
    """
    reasons = {}
    for group in line.waiting.groups():
        reason: Reason = "context"
        for waiter in group:
            reason = waiter.reason if reason == "context" else reason
            reasons[waiter.ticket] = reason
    return reasons


def _expected(
    waiters: Sequence[Waiter],
    leases: Sequence[Lease],
    standings: Mapping[Account, Standing],
    now: float,
    durations: Durations,
) -> Iterator[tuple[Ticket, float | None]]:
    """Yield the requests of a row in their order, each with the seconds until it may run.

    They run as the answers end that run now, each of which takes as long as others of its model.
    """
    charges = _Charges(standings, slots=len(leases))
    free_at: list[float] = []
    for lease in leases:
        mean = durations.mean(lease.ticket.model)
        passed = now - lease.began
        rest = None if mean is None else max(mean - passed, passed * _LONGER)
        charges.add(lease.ticket, rest)
        free_at += () if rest is None else (rest,)
    heapq.heapify(free_at)
    is_known = len(free_at) == len(leases) > 0
    for waiter in _in_order(waiters, charges, now):
        mean = durations.mean(waiter.ticket.model)
        yield waiter.ticket, free_at[0] if is_known else None
        charges.add(waiter.ticket, mean)
        is_known = is_known and mean is not None
        if is_known:
            heapq.heapreplace(free_at, free_at[0] + (mean or 0.0))


class _Charges:
    """The virtual times of accounts, in which answers are charged in advance."""

    def __init__(self, standings: Mapping[Account, Standing], *, slots: int) -> None:
        self._standings = standings
        self._slots = max(slots, 1)
        self._added: defaultdict[Account, float] = defaultdict(float)

    def add(self, ticket: Ticket, seconds: float | None) -> None:
        """Charge an answer that takes so long, beside those in the other slots."""
        cost = _UNKNOWN_SECONDS if seconds is None else seconds
        self._added[ticket.account] += cost / self._slots / self._standings[ticket.account].share

    def of(self, account: Account) -> float:
        return self._standings[account].time + self._added[account]


def _in_order(waiters: Sequence[Waiter], charges: _Charges, now: float) -> Iterator[Waiter]:
    """Yield the requests as the line will let them in, each of which is charged before the next."""
    for is_background in (False, True):
        turns = _turns(one for one in waiters if (one.promoted_at > now) is is_background)
        heap = [(charges.of(account), turn[0].number, account) for account, turn in turns.items()]
        heapq.heapify(heap)
        while heap:
            account = heap[0][2]
            turn = turns[account]
            yield turn.popleft()
            if turn:
                heapq.heapreplace(heap, (charges.of(account), turn[0].number, account))
            else:
                heapq.heappop(heap)


def _turns(waiters: Iterable[Waiter]) -> Mapping[Account, deque[Waiter]]:
    """Return the requests of each account in their order: its users take turns."""
    of_user: Counter[tuple[Account, str | None]] = Counter()
    ranked = []
    for waiter in sorted(waiters, key=lambda one: one.number):
        user = waiter.ticket.account, waiter.ticket.user
        ranked.append((of_user[user], waiter.number, waiter))
        of_user[user] += 1
    ranked.sort(key=lambda one: one[:2])
    turns: defaultdict[Account, deque[Waiter]] = defaultdict(deque)
    for _, _, waiter in ranked:
        turns[waiter.ticket.account].append(waiter)
    return turns
