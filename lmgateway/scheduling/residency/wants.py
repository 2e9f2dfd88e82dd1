"""Which models the waiting requests need in memory that aren't there, in the order of the line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...schema.common import ModelType
from ..line import Line, Order
from ..slots import Instance
from ..tickets import Ticket, Wanted
from ..waiting import Waiter


class Want(NamedTuple):
    """The requests that wait for a model. The oldest has waited since `since`.

    `is_next`: of all that wait, also for models in memory, the next in turn is one of them.
    """

    target: Wanted
    kind: ModelType
    since: float
    is_next: bool


class _Heads(NamedTuple):
    order: Order
    since: float
    kind: ModelType


def target_of(ticket: Ticket) -> Wanted:
    return ticket.group.wanted


def is_for(ticket: Ticket, instance: Instance) -> bool:
    """True if a request may run on an instance."""
    if ticket.instance is not None:
        return ticket.instance == instance.id.name
    return ticket.model == instance.model


def find_wants(line: Line, box: str, now: float, is_there: Callable[[Wanted], bool]) -> list[Want]:
    """Return what is wanted on a box that isn't there, the next in turn first."""
    if line.waiting:
        line.accounts.advance(now)  # who is next in turn depends on what has run until now
    heads: dict[Wanted, _Heads] = {}
    first: tuple[Order, Wanted] | None = None
    for group in line.waiting.groups():
        waiter = group[0]
        target = target_of(waiter.ticket)
        if target.box != box:
            continue
        order = line.order(waiter, now)
        if waiter.reason != "key_limit" and (first is None or order < first[0]):
            first = order, target
        if not is_there(target):
            heads[target] = _merged(heads.get(target), order, waiter)
    turn = sorted(heads.items(), key=lambda item: item[1].order)
    return [
        Want(target, head.kind, head.since, first is not None and first[1] == target) for target, head in turn
    ]


def _merged(known: _Heads | None, order: Order, waiter: Waiter) -> _Heads:
    if known is None:
        return _Heads(order, waiter.since, waiter.ticket.kind)
    return _Heads(min(known.order, order), min(known.since, waiter.since), known.kind)
