"""Where the waiting requests are to run whose model is in no memory, or has no free slot there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import GatewayError, UpstreamUnavailable
from ..schema.common import ModelType
from . import refusals
from .line import Line
from .routing import Bookings, Offer, best, best_for_copy, copy_due
from .station import Station
from .tickets import Ticket, Wanted
from .waiting import Reason

_ALL_DOWN = "No LM Studio that has {} answers and takes requests now. `lmgateway boxes` shows why."
_ONLY_DOWN = "The request can only go to the LM Studio {}, which doesn't answer. `lmgateway boxes` shows it."
_GONE = "The request can only go to the LM Studio {}, which isn't configured any more."


class Routes(NamedTuple):
    """`loads` has the box on which a model is to be loaded, `absent` the boxes that are needed and are down.

    `hopeless` has the requests that can run nowhere. `due` is when this may change without an event.
    """

    loads: Mapping[Wanted, str]
    absent: frozenset[str] = frozenset()
    hopeless: Sequence[tuple[Wanted, GatewayError]] = ()
    due: float | None = None

    def concern(self, station: Station, target: Wanted) -> bool:
        """True if requests for a target run on a box, or are to run there."""
        goal = self.loads.get(target)
        if goal is not None:
            return goal == station.name
        return target.allows(station.name) and station.residency.prospects.has(target)


class Router:
    """Chooses boxes. `stations` are all of them, by name, the first of the configuration first."""

    def __init__(self, line: Line, stations: Mapping[str, Station]) -> None:
        self._line = line
        self._stations = stations

    def decide(self, now: float) -> Routes:
        """Return where what waits is to run. It changes nothing."""
        bookings = Bookings()
        absent: set[str] = set()
        hopeless: list[tuple[Wanted, GatewayError]] = []
        dues: list[float] = []
        for ticket, reason in self._targets():
            target = ticket.group.wanted
            goal, due = self._goal(ticket, reason, bookings, now)
            if isinstance(goal, GatewayError):
                hopeless.append((target, goal))
            elif goal is not None and self._stations[goal].box.is_up:
                bookings.add(target, goal, ticket.kind)
            elif goal is not None:
                absent.add(goal)
            if due is not None:
                dues.append(due)
        return Routes(bookings.boxes, frozenset(absent), hopeless, min(dues, default=None))

    def lost(self) -> list[tuple[Wanted, GatewayError]]:
        """Return the requests that are for a box which isn't configured any more."""
        targets = {group[0].ticket.group.wanted for group in self._line.waiting.groups()}
        lost = [one for one in targets if one.box and one.box not in self._stations]
        return [(one, UpstreamUnavailable(_GONE.format(one.box))) for one in lost]

    def _targets(self) -> Iterable[tuple[Ticket, Reason]]:
        """Return a request for each target that is waited for, and why it can't run.

        Those that may go to the fewest boxes come first: others join them.
        """
        targets: dict[Wanted, tuple[Ticket, Reason]] = {}
        for group in self._line.waiting.groups():
            ticket, reason = group[0].ticket, group[0].reason
            # One that waits for a slot needs more than one that waits for its own key's requests to end.
            if reason == "slot" or ticket.group.wanted not in targets:
                targets[ticket.group.wanted] = ticket, reason
        return sorted(targets.values(), key=lambda one: _freedom(one[0].group.wanted))

    def _goal(
        self, ticket: Ticket, reason: Reason, bookings: Bookings, now: float
    ) -> tuple[str | GatewayError | None, float | None]:
        """Return the box that a target needs, None for none, or why no box will do; and when to ask again."""
        target, kind = ticket.group.wanted, ticket.kind
        if target.box and target.box not in self._stations:
            return UpstreamUnavailable(_GONE.format(target.box)), None
        instances = self._line.machines.of(ticket)
        is_there = any(one.is_listed for one in instances)
        if is_there and (reason != "slot" or target.box or any(one.free > 0 for one in instances)):
            return None, None
        able = self._able(target)
        if any(one.residency.prospects.returns(target) for one in able):
            return None, None
        if (bringing := _bringing(able, target)) is not None:
            return bringing, None
        if (booked := bookings.box_of(target.model, [one.name for one in able])) is not None:
            return booked, None
        managed = [one for one in able if one.has_residency] if target.model else []
        if is_there:  # a second copy of a model whose slots are all taken
            managed = [one for one in managed if not one.residency.prospects.has(target)]
            offers = self._offers(target.model, kind, managed, bookings, now)
            copy = best_for_copy(offers, now)
            return (copy.box, None) if copy is not None else (None, copy_due(offers, now))
        offer = best(self._offers(target.model, kind, managed, bookings, now))
        if offer is None or (offer.is_hopeless and len(managed) < len(able)):
            others = [one for one in able if one not in managed]
            return self._doubtful(others) if able else self._absent(target, self._since(target)), None
        return offer.box, None

    def _offers(
        self, model: str, kind: ModelType, stations: Iterable[Station], bookings: Bookings, now: float
    ) -> Sequence[Offer]:
        offers = (one.residency.prospects.offer(model, kind, now) for one in stations)
        return [bookings.lower(offer, kind) for offer in offers]

    def _able(self, target: Wanted) -> Sequence[Station]:
        """Return the boxes that may get a request for it, and have its model on disk.

        What no list has may be on those whose models can't be managed.
        """
        machines = self._line.machines
        opened = [
            one for one in self._stations.values() if machines.is_open(one.name, target) and one.box.is_up
        ]
        if target.box or not target.model:
            return opened
        known = [one for one in opened if one.knows(target.model)]
        return known or [one for one in opened if not one.has_residency]

    def place(self, ticket: Ticket, now: float) -> Station | Reason:
        """Return where a request is sent whose model isn't in memory, or what it waits for.

        It waits where the gateway loads the model. Otherwise LM Studio decides, on the box with the least
        running, and on the first one what names no model.
        """
        target, kind = ticket.group.wanted, ticket.kind
        able = self._able(target)
        if not able:
            return "box"
        managed = [one for one in able if one.has_residency] if target.model else []
        others = [one for one in able if one not in managed]
        if managed and others:
            # Unless it can't be loaded there.
            prospects = [one.residency.prospects for one in managed]
            managed = [] if all(one.is_hopeless(target.model, kind, now) for one in prospects) else managed
        if managed:
            reasons = {one.residency.prospects.absence for one in managed}
            return "model" if "model" in reasons else "box"
        if any(one.residency.prospects.is_leaving(ticket) for one in others):
            return "model"  # LM Studio would answer with the instance that is to be unloaded
        sure = [one for one in others if one.name not in self._line.machines.doubtful]
        if not sure:
            return "box"
        if not target.model or not sure[1:]:
            return sure[0]
        return min(sure, key=lambda one: self._line.machines.running_on(one.name))

    def _doubtful(self, able: Sequence[Station]) -> str | None:
        """Return the first of these boxes if it is doubtful what any of them has in memory."""
        doubtful = self._line.machines.doubtful
        return able[0].name if able and all(one.name in doubtful for one in able) else None

    def _since(self, target: Wanted) -> float:
        """Return when the first of the requests arrived that wait for a target."""
        return min(one.since for one in self._line.waiting if one.ticket.group.wanted == target)

    def _absent(self, target: Wanted, since: float) -> str | GatewayError:
        """Return a box that is down and may be had for a request of `since`, or why there is none.

        It is woken up, unless that has failed since then, or else greeted, unless it was a moment ago.
        """
        draining = self._line.machines.draining
        known = [
            one
            for one in self._stations.values()
            if target.allows(one.name)
            and not one.box.is_up
            and (target.box or (one.name not in draining and one.knows(target.model)))
        ]
        asleep = [one for one in known if one.box.may_sleep]
        if awakened := [one for one in asleep if one.overslept_at < since]:
            waking = (one for one in awakened if one.box.is_waking)
            return next(waking, awakened[0]).name
        if others := [one for one in known if one not in asleep and _may_answer(one)]:
            return others[0].name
        if asleep:
            return refusals.asleep(asleep[0].name)
        if target.box:
            return UpstreamUnavailable(_ONLY_DOWN.format(target.box))
        return UpstreamUnavailable(_ALL_DOWN.format(target.model or "a model"))

    def choose(self, target: Wanted, kind: ModelType, now: float) -> str | GatewayError:
        """Return the box on which somebody's load of a model is made; one that is down is to be woken up."""
        able = [one for one in self._able(target) if target.box or one.knows(target.model)]
        if holder := next((one.name for one in able if one.residency.prospects.has(target)), None):
            return holder
        offer = best(one.residency.prospects.offer(target.model, kind, now) for one in able)
        return self._absent(target, now) if offer is None else offer.box


def _may_answer(station: Station) -> bool:
    attendance = station.box.known.attendance
    return attendance is not None and attendance.may_answer


def _freedom(target: Wanted) -> tuple[bool, int]:
    """Return a key by which those that may go to fewer boxes come first."""
    return not target.box, -len(target.passed)


def _bringing(stations: Sequence[Station], target: Wanted) -> str | None:
    """Return the box that brings a model into memory, None if none does: rather one that loads it by now."""
    for one in stations:
        if one.residency.prospects.loads(target):
            return one.name
    return next((one.name for one in stations if one.residency.prospects.brings(target)), None)
