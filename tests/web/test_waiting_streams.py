"""One timer for the keep-alives of all streams."""

from __future__ import annotations

import asyncio
import time

import pytest

from lmgateway.web.waiting_streams import WaitingStreams
from tests.support.waiting import PATIENCE_SECONDS, until


class Stream:
    def __init__(self, name: str, order: list[str], *, fails: bool = False) -> None:
        self._name, self._order, self._fails = name, order, fails

    def send_keep_alive(self) -> None:
        self._order.append(self._name)
        if self._fails:
            raise LookupError("a fault")


async def test_each_when_it_is_due(caplog: pytest.LogCaptureFixture) -> None:
    """In whichever order they were added; one that fails holds up no other, and a removed one gets none."""
    streams, order, now = WaitingStreams(), list[str](), time.monotonic()
    removed = Stream("removed", order)
    streams.add(Stream("last", order), now + 0.06)
    streams.add(removed, now + 0.02)
    streams.add(Stream("first", order, fails=True), now + 0.01)
    streams.add(Stream("late already", order), now - 1)
    streams.remove(removed)
    streams.remove(removed)
    await until(lambda: "last" in order)
    assert order == ["late already", "first", "last"]
    assert "LookupError: a fault" in caplog.text


async def test_no_timer_once_nothing_waits() -> None:
    """The last one's timer fires once, and isn't set again."""
    streams, order = WaitingStreams(), list[str]()
    stream = Stream("gone", order)
    streams.add(stream, time.monotonic() + 0.01)
    streams.remove(stream)
    other = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, other.set_result, None)
    await asyncio.wait_for(other, PATIENCE_SECONDS)
    assert (order, streams.is_idle) == ([], True)
