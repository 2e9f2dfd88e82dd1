"""What the process may run short of."""

from __future__ import annotations

import asyncio
import gc
import re
import time
import weakref

import pytest

from lmgateway.observe import vitals
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.prometheus import Metrics


def shown(metrics: Metrics, name: str) -> float:
    text = metrics.render(
        in_flight=0, reachable=None, subscribers=0, lost_events=0, storage_errors=0
    ).decode()
    found = re.search(rf"^lmgateway_{name} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_a_stall_is_shown_once_however_short_and_long_ago_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gauge tells the worst since it was last asked for: a scrape a minute misses nothing."""
    monkeypatch.setattr(vitals, "LAG_SECONDS", 0.01)
    metrics = Metrics()
    watching = asyncio.create_task(vitals.watch_lag(metrics))
    await asyncio.sleep(0.02)
    time.sleep(0.08)
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert shown(metrics, "event_loop_lag_seconds") > 0.05
    assert shown(metrics, "event_loop_lag_seconds") == 0
    assert shown(metrics, "tasks") == len(asyncio.all_tasks())
    watching.cancel()


class Node:
    """Part of a reference cycle."""

    def __init__(self) -> None:
        self.itself = self


async def test_garbage_is_collected_once_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a burst of connections leaves behind doesn't wait for the next one, and delays no request."""
    monkeypatch.setattr(vitals, "GARBAGE_SECONDS", 0.001)
    activity = Activity(Events(), Metrics())
    exchange = Exchange(
        request_id="1", client="c", method="GET", path="/", cancellation=Cancellation(lambda: None)
    )
    gc.collect()
    old = [Node() for _ in range(2)]
    gone = weakref.ref(old[0])
    gc.collect()  # so that only a full collection finds it
    old.clear()
    collecting = asyncio.create_task(vitals.collect_garbage(activity))
    with activity.exchange(exchange):
        many = [Node() for _ in range(2000)]
        await asyncio.sleep(0.02)
        assert gone() is not None
    async with asyncio.timeout(5):
        while gone() is not None:
            await asyncio.sleep(0.001)
    assert len(many) == 2000
    collecting.cancel()
