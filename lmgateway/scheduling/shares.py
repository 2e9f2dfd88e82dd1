"""What each account has had of the machines, as rows for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import UNSET

from ..observe.queue_metrics import OUTSIDE
from ..schema.queue import KeyShare
from .line import Line
from .tickets import Account
from .virtual_times import Member, Standing

# Of a key's addresses or users that have nothing in line or running: clients may choose them.
MAX_IDLE_ROWS = 100


class Range(NamedTuple):
    least: float
    most: float


def shares(line: Line) -> Iterator[KeyShare]:
    """Yield the rows by key: those of its users or addresses, and one of the key for the rest, if any.

    The accounts have been advanced. Together the rows have the busy time of the machines.
    """
    standings = dict(line.accounts.standings())
    active = _active_range(standings.values())
    waiting, running = Counter[str](), Counter[str]()
    for waiter in line.waiting:
        waiting[waiter.ticket.account.key] += 1
    for lease in line.running.values():
        running[lease.ticket.account.key] += 1
    of_key: defaultdict[str, dict[Account, Standing]] = defaultdict(dict)
    for account, standing in standings.items():
        of_key[account.key][account] = standing
    seconds = line.accounts.seconds()
    for key in sorted({*of_key, *seconds}):
        own = of_key[key].pop(Account(key), None)
        share = next((one.share for one in (own, *of_key[key].values()) if one is not None), 1.0)
        parts = [*_users(line, key, share)] or [*_addresses(line, of_key[key], active)]
        yield from parts
        rest = KeyShare(
            key=key,
            share=share,
            running=running[key] - sum(part.running for part in parts),
            waiting=waiting[key] - sum(part.waiting for part in parts),
            gpu_ms=max(round(seconds.get(key, 0.0) * 1000) - sum(part.gpu_ms for part in parts), 0),
            behind_ms=0 if own is None else _behind_ms(own, active),
        )
        if not parts or rest.running or rest.waiting or rest.gpu_ms > len(parts):  # more than was rounded
            yield rest
    if outside := line.accounts.outside_seconds:
        yield _outside(line, outside)


def _users(line: Line, key: str, share: float) -> Iterator[KeyShare]:
    """Yield the rows of a key's users, each compared with the others of the key."""
    waiting: Counter[str | None] = Counter()
    for (account, user), number in line.waiting.of_account.items():
        if account.key == key:
            waiting[user] += number
    users = list(line.accounts.users(key))
    active = _active_range(standing for _, standing in users)
    for user, standing in _newest(users):
        yield KeyShare(
            key=key,
            user=user,
            share=share,
            running=standing.count - waiting[user],
            waiting=waiting[user],
            gpu_ms=round(standing.seconds * 1000),
            behind_ms=_behind_ms(standing, active),
        )


def _addresses(line: Line, standings: Mapping[Account, Standing], active: Range | None) -> Iterator[KeyShare]:
    for account, standing in _newest(standings.items()):
        waiting = line.waiting.of_account[account, None]
        yield KeyShare(
            key=account.key,
            address=UNSET if account.address is None else account.address,
            share=standing.share,
            running=standing.count - waiting,
            waiting=waiting,
            gpu_ms=round(standing.seconds * 1000),
            behind_ms=_behind_ms(standing, active),
        )


def _newest(members: Iterable[tuple[Member, Standing]]) -> list[tuple[Member, Standing]]:
    """Return the active members, and of the idle ones, of which the newest is the last, so many."""
    every = list(members)
    idle = [one for one in every if not one[1].count]
    return [one for one in every if one[1].count] + idle[-MAX_IDLE_ROWS:]


def _active_range(standings: Iterable[Standing]) -> Range | None:
    """Return the least and the greatest time of the active ones, if there are any."""
    times = [standing.time for standing in standings if standing.count]
    return Range(min(times), max(times)) if times else None


def _behind_ms(standing: Standing, active: Range | None) -> int:
    """Return how much less it has had than the active one that has had the most.

    One that isn't active would begin level with the least of those that are.
    """
    if active is None:
        return 0
    return max(round((active.most - max(standing.time, active.least)) * 1000), 0)


def _outside(line: Line, seconds: float) -> KeyShare:
    return KeyShare(
        key=OUTSIDE,
        share=0,  # it isn't in the line
        running=sum(one.outside for one in line.machines.instances.values()),
        waiting=0,
        gpu_ms=round(seconds * 1000),
        behind_ms=0,
    )
