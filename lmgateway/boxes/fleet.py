"""All boxes, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from .. import background
from ..config import LMStudio
from ..errors import GatewayError
from ..observe.activity import Activity
from .attendance import Attendance
from .box import Box
from .box_set import BoxSet
from .connections import Connections
from .fleet_listener import FleetListener
from .list_bodies import Bodies
from .listing import Listing
from .load_in_progress import LastSettings
from .presence import State

# A scrape of the metrics waits for it.
LIST_SECONDS = 1


class ListStorage(Protocol):
    """Stores the lists of models that boxes have sent."""

    def put(self, box: str, bodies: Bodies) -> None: ...


class Fleet:
    """The owner of the boxes in force, of their connections, and of what is known of their presence.

    Enter it before use. Of a box that a reload takes away, the connections last as long as requests use them.
    """

    def __init__(
        self,
        studios: Mapping[str, LMStudio],
        activity: Activity,
        last_settings: LastSettings | None = None,
        lists: ListStorage | None = None,
    ) -> None:
        """`studios` are the settings by the boxes' names.

        `last_settings` remembers the settings of loads, and `lists` the models of boxes that may sleep.
        Without them none are remembered.
        """
        self._activity = activity
        self._last_settings = last_settings
        self._lists = lists
        self._connections: dict[str, Connections] = {}
        self._listener = FleetListener()
        self._tasks = background.DetachedTasks()
        # Those that reloads have taken away, of which requests may still run.
        self._former: dict[str, Box] = {}
        self.boxes = BoxSet([self._new(name, config) for name, config in studios.items()])

    async def __aenter__(self) -> Self:
        for box in self.boxes:
            self._connections[box.name].open(box.config)
            self._attend(box)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(each.known.attendance.close() for each in self.boxes if each.known.attendance))
        await self._tasks.close()
        await asyncio.gather(*(each.close() for each in self._connections.values()))

    def restore(self, lists: Mapping[str, Bodies]) -> None:
        """Take in what the boxes had on disk before a restart, by their names."""
        for box in self.boxes:
            if box.name in lists and self.boxes.is_watched:
                box.catalogue.restore(lists[box.name])

    def former(self, name: str) -> Box | None:
        """Return the last box of a name that isn't configured any more."""
        return self._former.get(name)

    # ── Reloads ────────────────────────────────────────────────────────────────────────────────────────────

    def reconfigured(self, studios: Mapping[str, LMStudio]) -> BoxSet:
        """Return the boxes with these settings. They aren't in force before `replace`."""
        boxes = ((self.boxes.get(name), name, config) for name, config in studios.items())
        return BoxSet(
            [
                self._new(name, config) if box is None else box.reconfigured(config)
                for box, name, config in boxes
            ]
        )

    def moved(self, boxes: BoxSet) -> list[str]:
        """Return the names of several boxes that had another address: they have nothing of the old ones."""
        if boxes.only is not None:
            return []
        before = {box.name: self.boxes.get(box.name) or self._former.get(box.name) for box in boxes}
        known = {name: box.config.base_url for name, box in before.items() if box is not None}
        return [box.name for box in boxes if known.get(box.name, box.config.base_url) != box.config.base_url]

    def _new(self, name: str, config: LMStudio) -> Box:
        connections = self._connections.get(name)
        if connections is None:
            connections = Connections(name, config, self._activity, self._last_settings)
            self._connections[name] = connections
        return Box(name, config, connections)

    def _attend(self, box: Box) -> None:
        """Have a box greeted if it is to be known whether it is up. It may sleep then."""
        attendance, may_sleep = box.known.attendance, self.boxes.is_watched
        if self._lists is not None:
            box.catalogue.on_bodies = partial(self._lists.put, box.name) if may_sleep else None
        if not may_sleep:
            self._leave(box)
        elif attendance is not None:
            attendance.reconfigure(box.config)
        else:
            attendance = box.known.attendance = self._attendance(box)
            attendance.start()
        self._connections[box.name].rest_or_resume(box.is_left_alone)

    def _leave(self, box: Box) -> None:
        attendance, box.known.attendance = box.known.attendance, None
        if attendance is not None:
            self._tasks.start(attendance.close())

    def _attendance(self, box: Box) -> Attendance:
        def changed(state: State, reason: str) -> None:
            self._connections[box.name].rest_or_resume(box.is_left_alone)
            self._listener.changed(box.name, state, reason)

        def rests(is_resting: bool) -> None:
            self._connections[box.name].rest_or_resume(box.is_left_alone)
            self._listener.rests(box.name, is_resting)

        return Attendance(
            box.name,
            box.config,
            self._connections[box.name].signs,
            box.greets,
            is_busy=lambda: bool(box.known.awaiting) or self._listener.is_busy(box.name),
            on_change=changed,
            on_rest=rests,
            on_silence=lambda: self._listener.silent(box.name),
        )

    def replace(self, boxes: BoxSet) -> None:
        """Put boxes in force, as `reconfigured` returned them. Requests of the previous ones go on."""
        before, self.boxes = self.boxes, boxes
        for previous in before:
            box = boxes.get(previous.name)
            if box is None or box.known is not previous.known:
                self._retire(previous)
            if box is None:
                self._former[previous.name] = previous
                self._connections[previous.name].rest()
        for box in boxes:
            previous_box = before.get(box.name)
            is_new = previous_box is None or box.known is not previous_box.known
            if previous_box is not box:
                self._connections[box.name].open(box.config)
            self._attend(box)
            if is_new:
                self._watch(box)
                self._listener.lost(box.name)

    def _retire(self, box: Box) -> None:
        box.catalogue.on_refresh = box.catalogue.on_bodies = box.health.on_outage = None
        self._leave(box)

    # ── Listeners ──────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, listener: FleetListener) -> None:
        """Have a listener learn what happens. It gets each box's snapshot at once."""
        self._listener = listener
        for box in self.boxes:
            self._watch(box)

    def _watch(self, box: Box) -> None:
        lost = partial(self._lost, box.name)
        self._connections[box.name].links.on_lost = lost
        box.health.on_outage = lost
        box.catalogue.on_refresh = partial(self._listed, box.name)
        self._listed(box.name, box.catalogue.listing)

    def _listed(self, name: str, listing: Listing) -> None:
        self._listener.listed(name, listing)

    def _lost(self, name: str) -> None:
        box = self.boxes.get(name)
        if box is not None and box.known.attendance is not None and box.is_up:
            box.known.attendance.suspected()
        self._listener.lost(name)

    # ── Names ──────────────────────────────────────────────────────────────────────────────────────────────

    def lists(self, name: str) -> bool:
        """True if a model or an instance of this name was in the list that a box sent last."""
        return any(box.catalogue.find(name) for box in self.boxes)

    def model_of(self, name: str) -> str:
        """Return the key of the model that a box listed last under this name, the name itself if none did."""
        models = (box.catalogue.find(name) for box in self.boxes)
        return next((model.key for model in models if model is not None), name)

    async def list_names(self) -> None:
        """Request each box's list of models, for a second at most. If that fails, they are unchanged."""

        async def list_models(box: Box) -> None:
            with suppress(TimeoutError, GatewayError):
                async with asyncio.timeout(LIST_SECONDS):
                    await box.list_models()

        await asyncio.gather(*(list_models(box) for box in self.boxes if not box.is_left_alone))
