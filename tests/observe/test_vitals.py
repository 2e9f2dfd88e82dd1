"""What the process may run short of."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref

from lmgateway.config import Limits
from lmgateway.observe import vitals
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.prometheus import Metrics
from tests.support.waiting import until


def value_of(metrics: Metrics, name: str) -> float:
    text = b"".join(metrics.render(in_flight=0, reachable={}, subscribers=0, lost_events=0, storage_errors=0))
    [value] = re.findall(rf"^lmgateway_{name} (\S+)$", text.decode(), re.MULTILINE)
    return float(value)


async def turns(count: int = 5) -> None:
    """Let the event loop run its ready callbacks so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_gauge_of_the_lag_has_the_worst_stall_since_the_last_scrape() -> None:
    """A scrape a minute misses no stall, however short, and reports each once."""
    metrics, now = Metrics(), 0.0
    watching = asyncio.create_task(vitals.watch_lag(metrics, seconds=0, clock=lambda: now))
    await turns()
    now = 0.08
    await turns()
    assert value_of(metrics, "event_loop_lag_seconds") == 0.08
    assert value_of(metrics, "event_loop_lag_seconds") == 0
    assert value_of(metrics, "tasks") == len(asyncio.all_tasks())
    watching.cancel()


class Node:
    """Part of a reference cycle."""

    def __init__(self) -> None:
        self.itself = self


async def test_garbage_is_collected_once_nothing_runs() -> None:
    """A burst of connections leaves no garbage until the next one, and its collection delays no request."""
    activity = Activity(Events(), Metrics())
    exchange = Exchange(
        request_id="1", client="c", method="GET", path="/", cancellation=Cancellation(lambda: None)
    )
    gc.collect()
    old = [Node() for _ in range(2)]
    collected = weakref.ref(old[0])
    gc.collect()  # so that only a full collection finds it
    old.clear()
    collecting = asyncio.create_task(vitals.collect_garbage(activity, seconds=0))
    with activity.exchange(exchange, Limits()):
        many = [Node() for _ in range(2000)]
        await turns()
        assert collected() is not None
    await until(lambda: collected() is None)
    assert len(many) == 2000
    collecting.cancel()
