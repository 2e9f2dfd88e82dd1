"""Which models the waiting requests need in memory that aren't there, in the order of the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    wanted = target_of(ticket)
    return wanted.allows(instance.id.box) and has_name(instance, wanted)


def has_name(instance: Instance, wanted: Wanted) -> bool:
    """True if an instance answers to the wanted name, on whichever box it is."""
    if wanted.instance is None or (not wanted.box and wanted.instance == wanted.model):
        return instance.model == wanted.model
    return instance.id.name == wanted.instance


def find_wants(
    line: Line, now: float, concerns: Callable[[Wanted], bool], is_there: Callable[[Wanted], bool]
) -> list[Want]:
    """Return what is wanted on a box that isn't there, the next in turn first.

    `concerns` returns whether the requests for a target run on this box, or are to run there.
    """
    if line.waiting:
        line.accounts.advance(now)  # who is next in turn depends on what has run until now
    heads: dict[Wanted, _Heads] = {}
    first: tuple[Order, Wanted] | None = None
    for group in line.waiting.groups():
        waiter = group[0]
        target = target_of(waiter.ticket)
        if not concerns(target):
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


def find_absent(line: Line, box: str, is_there: Callable[[Wanted], bool]) -> Iterator[Wanted]:
    """Yield what is wanted that isn't there, and may run on this box: it may be loaded on another one."""
    for group in line.waiting.groups():
        target = target_of(group[0].ticket)
        if target.allows(box) and not is_there(target):
            yield target


def _merged(known: _Heads | None, order: Order, waiter: Waiter) -> _Heads:
    if known is None:
        return _Heads(order, waiter.since, waiter.ticket.kind)
    return _Heads(min(known.order, order), min(known.since, waiter.since), known.kind)
