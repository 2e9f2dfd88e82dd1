"""When the events of the line are published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

import pytest

from lmgateway.observe.event_stream import Events
from lmgateway.scheduling import announcements
from lmgateway.scheduling.announcements import Announcements
from lmgateway.scheduling.durations import Durations
from lmgateway.scheduling.forecast import Forecast, forecast
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.tickets import Ticket
from tests.scheduling.schedule import ticket
from tests.scheduling.test_line import arrive, line
from tests.support.waiting import until


class Announced:
    """A line with one slot, whose forecasts take `seconds` by a clock that nothing else advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
        self.now, self.forecasts, self.seconds = 100.0, 0, seconds
        self.events = Events()
        self.line: Line = line(1)
        self.announcements = Announcements(self.events, self._forecast)
        monkeypatch.setattr(announcements, "monotonic", lambda: self.now)

    def _forecast(self) -> Mapping[Ticket, Forecast]:
        self.forecasts += 1
        self.now += self.seconds
        return forecast(self.line, 0.0, Durations())

    def queue(self, *tickets: Ticket) -> None:
        for one in tickets:
            assert not arrive(self.line, one)
            self.announcements.queued(self.line.waiting[one])

    @property
    def published(self) -> list[tuple[str, str]]:
        frames = [one.frame.decode().split("\n") for one in self.events.history]
        return [
            (name.removeprefix("event: "), json.loads(data.removeprefix("data: "))["requestId"])
            for _, name, data, *_ in frames
        ]


async def timers_ran() -> None:
    """Return when the timers have run that are due now."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0, done.set)
    await done.wait()


async def test_one_forecast_is_for_all_that_arrive_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 15 ms for a thousand requests, so a storm of them mustn't have one each."""
    made, requests = Announced(monkeypatch), [ticket() for _ in range(20)]
    arrive(made.line, ticket())
    made.queue(*requests)
    await until(lambda: made.published)
    assert made.published == [("request_queued", request.request_id) for request in requests]
    assert made.forecasts == 1


async def test_forecasts_take_a_twentieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one of 10 ms, the next is made 200 ms after that one began: 190 ms are left."""
    made, delays = Announced(monkeypatch, seconds=0.01), list[float]()
    call_later = asyncio.get_running_loop().call_later

    def later(delay: float, act: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        if act == made.announcements._publish:
            delays.append(delay)
            delay = 0
        return call_later(delay, act, *arguments)

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", later)
    arrive(made.line, ticket())
    for number in (1, 2):
        made.queue(ticket())
        await until(lambda expected=number: made.forecasts == expected)
    assert delays == [0.0, pytest.approx(0.19)]


async def test_one_that_runs_before_it_was_announced_is_announced_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its two events are in their order, and no forecast is needed for the first."""
    made, first, second = Announced(monkeypatch), ticket(), ticket()
    arrive(made.line, first)
    made.queue(second)
    (lease,) = made.line.release(made.line.running[first], 1.0)
    made.announcements.dispatched(lease, 1.0)
    await timers_ran()
    assert made.published == [
        ("request_queued", second.request_id),
        ("request_dispatched", second.request_id),
    ]
    assert made.forecasts == 0


async def test_one_that_leaves_before_isnt_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to say of its place in line."""
    made, request = Announced(monkeypatch), ticket()
    arrive(made.line, ticket())
    made.queue(request)
    made.line.leave(request, 1.0)
    made.announcements.gave_up(request)
    await timers_ran()
    assert made.published == []
