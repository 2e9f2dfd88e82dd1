"""The events of the line: a request begins to wait, and runs; an instance gets no new one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from msgspec import UNSET

from ..observe.event_stream import Events
from ..observe.events import ModelDrainEnd, ModelDrainStart, RequestDispatched, RequestQueued
from .forecast import Forecast
from .residency.effects import DrainEnd
from .slots import Instance, Lease
from .tickets import Ticket
from .waiting import Waiter

# A forecast for a thousand requests takes 15 ms. Those for events take at most so much of the time.
_MOST_OF_THE_TIME = 0.05


class Announcements:
    """The owner of the requests whose `request_queued` isn't published yet.

    It is published in the next iteration of the event loop, or a little later if many requests arrive: then
    one forecast is for all of them. One that leaves the line before isn't announced.
    """

    def __init__(self, events: Events, expected: Callable[[], Mapping[Ticket, Forecast]]) -> None:
        self._events = events
        self._expected = expected
        self._pending: dict[Ticket, Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next_forecast = 0.0

    def queued(self, waiter: Waiter) -> None:
        self._pending[waiter.ticket] = waiter
        if self._timer is None:
            delay = max(self._next_forecast - monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._publish)

    def dispatched(self, lease: Lease, waited: float) -> None:
        ticket = lease.ticket
        if (waiter := self._pending.pop(ticket, None)) is not None:
            self._publish_queued(ticket, Forecast(waiter.reason, 0, 0.0))
        self._events.publish(
            RequestDispatched(
                request_id=ticket.request_id,
                waited_ms=round(waited * 1000),
                model=ticket.model,
                box=lease.instance.id.box,
            )
        )

    def gave_up(self, ticket: Ticket) -> None:
        self._pending.pop(ticket, None)

    def drain_started(self, instance: Instance, wanted: str | None) -> None:
        self._events.publish(
            ModelDrainStart(
                model_key=instance.model,
                instance_id=instance.id.name,
                for_=wanted,
                running=len(instance.leases),
                box=instance.id.box,
            )
        )

    def drain_ended(self, ended: DrainEnd) -> None:
        instance = ended.instance
        self._events.publish(
            ModelDrainEnd(
                model_key=instance.model,
                instance_id=instance.id.name,
                outcome=ended.outcome,
                box=instance.id.box,
            )
        )

    def _publish(self) -> None:
        self._timer = None
        pending, self._pending = self._pending, {}
        if not pending:
            return
        began = monotonic()
        expected = self._expected()
        self._next_forecast = began + (monotonic() - began) / _MOST_OF_THE_TIME
        for ticket in pending:
            self._publish_queued(ticket, expected[ticket])

    def _publish_queued(self, ticket: Ticket, expected: Forecast) -> None:
        self._events.publish(
            RequestQueued(
                request_id=ticket.request_id,
                key=ticket.account.key,
                model=ticket.model,
                priority=ticket.priority,
                reason=expected.reason,
                ahead=expected.ahead,
                eta_ms=UNSET if expected.seconds is None else round(expected.seconds * 1000),
            )
        )
