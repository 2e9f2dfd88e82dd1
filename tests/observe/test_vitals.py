"""What the process may run short of."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from lmgateway.observe import vitals
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
