"""The boxes as the scheduler sees them: which get requests, which are woken up, which load a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic

from .. import background
from ..boxes.box import Box
from ..boxes.fleet import Fleet
from ..boxes.fleet_listener import FleetListener
from ..boxes.listing import Listing
from ..boxes.presence import State
from ..errors import GatewayError
from ..observe.activity import Activity
from ..observe.event_stream import Events
from ..observe.events import BoxStateChanged
from ..schema.boxes import BoxState
from ..schema.common import ModelType
from .onlookers import Onlooker
from .residency.origins import Origins
from .router import Router, Routes
from .slots import Lease
from .station import Owner, Station
from .tickets import Ticket, Wanted
from .waiting import Reason

_DRAINED = "it was drained"
_RESUMED = "it gets requests again"
_NEEDED = "a request needs it"
_NONE = Routes({})


class Stations(FleetListener):
    """The owner of the stations and of the drains of whole boxes."""

    def __init__(
        self, owner: Owner, fleet: Fleet, onlooker: Onlooker, origins: Origins, activity: Activity
    ) -> None:
        self._owner = owner
        self._fleet = fleet
        self._machines = owner.line.machines
        self._make: Callable[[Callable[[], Box]], Station] = partial(
            Station, owner=owner, onlooker=onlooker, origins=origins, activity=activity
        )
        self._events: Events = activity.events
        self._by_name: dict[str, Station] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._tasks = background.DetachedTasks()
        # By name, as long as the process lives.
        self._drained: set[str] = set()
        self._router = Router(owner.line, self._by_name)
        self._routes = _NONE
        # The boxes on which models are to be loaded once it is known what they have in memory.
        self._unsure: set[str] = set()
        self._is_running = False
        # True if it matters which box gets a request, or whether the only one is up.
        self.has_routes = False
        # True if a box isn't configured any more since the last decision.
        self._has_lost = False
        self.follow()

    def __iter__(self) -> Iterator[Station]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Station | None:
        return self._by_name.get(name)

    # ── Life ───────────────────────────────────────────────────────────────────────────────────────────────

    async def keep_watch(self) -> None:
        """Look without a request whether LM Studio has come up on a box, until cancelled."""
        self._is_running = True
        try:
            for station in self:
                self._start(station)
            await asyncio.Event().wait()
        finally:
            self._is_running = False
            if self._watching:
                await background.end(*self._watching.values())
            self._watching.clear()

    def _start(self, station: Station) -> None:
        watching = background.start(background.restarting(station.keep_watch))
        self._watching[station.name] = watching

    async def close(self) -> None:
        await self._tasks.close()
        await asyncio.gather(*(station.close() for station in self))

    def follow(self) -> list[Lease]:
        """Have a station for each box in force, and no other. Return the leases that this allows."""
        boxes, machines = self._fleet.boxes, self._machines
        before = dict(self._by_name)
        self._by_name.clear()
        machines.boxes = tuple(box.name for box in boxes)
        for box in boxes:
            station = before.pop(box.name, None)
            if station is None:
                station = self._make(partial(self._box, box.name))
                machines.set_draining(box.name, box.name in self._drained)
            self._by_name[box.name] = station
            if self._is_running and box.name not in self._watching:
                self._start(station)
        self.has_routes = boxes.is_watched
        for station in self:
            machines.set_down(station.name, not station.box.is_up)
            station.residency.concerns = partial(self._concerns, station)
        return [lease for station in before.values() for lease in self._leave(station)]

    def _leave(self, station: Station) -> list[Lease]:
        """Send a box that isn't configured any more no new requests."""
        if (watching := self._watching.pop(station.name, None)) is not None:
            watching.cancel()
        self._has_lost = True
        station.residency.start_over(monotonic())  # its loads are charged to nobody any more
        self._machines.set_down(station.name, True)
        self._machines.affinity.forget_box(station.name)
        self._tasks.start(station.close())
        return self._owner.instances.take(station.name, Listing())

    def _box(self, name: str) -> Box:
        """Return the box in force, or the last one of a name that isn't configured any more."""
        box = self._fleet.boxes.get(name) or self._fleet.former(name)
        if box is None:
            raise KeyError(name)
        return box

    # ── What happens to boxes ──────────────────────────────────────────────────────────────────────────────

    def listed(self, box: str, listing: Listing) -> None:
        if (station := self.get(box)) is not None:
            station.listed(listing)

    def lost(self, box: str) -> None:
        if (station := self.get(box)) is not None:
            station.looks.lost()

    def rests(self, box: str, is_resting: bool) -> None:
        if (station := self.get(box)) is None:
            return
        station.looks.rests()
        self._owner.dispatch(())

    def is_busy(self, box: str) -> bool:
        station = self.get(box)
        return bool(self._machines.running_on(box)) or (station is not None and len(station.box.loads) > 0)

    def silent(self, box: str) -> None:
        if self._owner.line.waiting:
            self._owner.dispatch(())  # a request may have waited for its answer

    def changed(self, box: str, state: State, reason: str) -> None:
        if (station := self.get(box)) is None:
            return
        if state == "down" and station.was_waking:
            station.overslept_at = monotonic()
        station.was_waking = state == "waking"
        self._machines.set_down(box, not station.box.is_up)
        if state == "down":
            station.box.interrupt()
        elif state == "up":
            station.looks.lost()
        self._events.publish(BoxStateChanged(box=box, state=self.state_of(station), reason=reason))
        self._owner.dispatch(self._owner.line.dispatch(monotonic()))

    def drain(self, station: Station, is_draining: bool) -> None:
        """Send a box no requests that can go to another one, or any again."""
        if is_draining == (station.name in self._drained):
            return
        (self._drained.add if is_draining else self._drained.discard)(station.name)
        self._machines.set_draining(station.name, is_draining)
        reason = _DRAINED if is_draining else _RESUMED
        self._events.publish(BoxStateChanged(box=station.name, state=self.state_of(station), reason=reason))
        self._owner.dispatch(self._owner.line.dispatch(monotonic()))

    def state_of(self, station: Station) -> BoxState:
        attendance = station.box.known.attendance
        if station.name in self._drained:
            return "draining"
        if attendance is None or attendance.state == "unknown":
            return "down" if station.box.health.answered is False else "up"
        return attendance.state

    # ── Routes ─────────────────────────────────────────────────────────────────────────────────────────────

    def route(self, now: float) -> Iterable[tuple[Wanted, GatewayError]]:
        """Decide where what waits is to run; return the requests that can run nowhere."""
        if not self.has_routes or not self._owner.line.waiting:
            self._routes, self._unsure = _NONE, set()
            lost, self._has_lost = self._router.lost() if self._has_lost else (), False
            return lost
        self._routes = self._router.decide(now)
        self._unsure = {box for target, box in self._routes.loads.items() if self._is_unsure(box, target)}
        for name in self._routes.absent:
            self._by_name[name].box.wake(_NEEDED)
        return self._routes.hopeless

    def is_needed(self, station: Station) -> bool:
        """True if a request waits until it is known what a box has in memory."""
        return station.name in self._unsure

    def _is_unsure(self, box: str, target: Wanted) -> bool:
        prospects = self._by_name[box].residency.prospects
        is_coming = prospects.loads(target) or prospects.brings(target)
        return box in self._machines.doubtful and not is_coming

    @property
    def due(self) -> float | None:
        """When `route` is needed next, unless something happens before; None if no time is."""
        return self._routes.due

    def _concerns(self, station: Station, target: Wanted) -> bool:
        if not self.has_routes:
            return target.allows(station.name)
        goal = self._routes.loads.get(target)
        return not (goal and self._is_unsure(goal, target)) and self._routes.concern(station, target)

    def place(self, ticket: Ticket, now: float) -> Station | Reason:
        """Return where a request is sent whose model isn't in memory, or what it waits for."""
        return self._router.place(ticket, now)

    def choose(self, target: Wanted, kind: ModelType, now: float) -> Station | GatewayError:
        """Return the station at which somebody's load is made."""
        goal = self._router.choose(target, kind, now)
        return goal if isinstance(goal, GatewayError) else self._by_name[goal]
