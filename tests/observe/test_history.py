"""The bounded history of ended requests."""

from __future__ import annotations

import time

import msgspec
import pytest

from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.history import HOUR_SECONDS, HOUR_SPEEDS, RECENT_RECORDS, History, Speed
from lmgateway.observe.record import Conclusion, RequestRecord, make_record


def ended(number: int, *, tokens: int, seconds_ago: float = 0.0) -> RequestRecord:
    exchange = Exchange(
        request_id=str(number),
        client="client",
        method="POST",
        path="/",
        cancellation=Cancellation(lambda: None),
    )
    record = make_record(exchange, Conclusion("completed"), exchange.started)
    return msgspec.structs.replace(
        record,
        started=time.monotonic() - seconds_ago - 1,
        began=1000.0 + number,
        total_ms=1000,
        tokens=tokens,
        ttft_ms=500,
        tokens_per_second=float(tokens),
    )


def test_recent_records_are_the_last_hundred() -> None:
    history = History()
    for number in range(RECENT_RECORDS + 20):
        history.add(ended(number, tokens=0))
    assert [record.request_id for record in history.recent] == [
        str(number) for number in range(20, RECENT_RECORDS + 20)
    ]


def test_speeds_are_of_the_last_hour() -> None:
    """Of requests that generated tokens and ended within it."""
    history = History()
    history.add(ended(1, tokens=5, seconds_ago=HOUR_SECONDS + 1))
    history.add(ended(2, tokens=0))
    history.add(ended(3, tokens=8, seconds_ago=HOUR_SECONDS - 60))
    assert list(history.last_hour()) == [Speed(began=1003.0, ttft_ms=500, tokens_per_second=8.0)]


def test_a_few_tokens_have_no_speed() -> None:
    """Two tokens that arrive together would count as thousands a second; the first one's time is known."""
    history = History()
    history.add(ended(1, tokens=7))
    assert list(history.last_hour()) == [Speed(began=1001.0, ttft_ms=500, tokens_per_second=None)]


def test_speeds_may_be_unknown() -> None:
    history = History()
    record = msgspec.structs.replace(ended(1, tokens=1), ttft_ms=None, tokens_per_second=None)
    history.add(record)
    assert list(history.last_hour()) == [Speed(began=1001.0, ttft_ms=None, tokens_per_second=None)]


@pytest.mark.parametrize("more", [10, HOUR_SPEEDS + 10])
def test_speeds_are_bounded(more: int) -> None:
    history = History()
    for number in range(HOUR_SPEEDS + more):
        history.add(ended(number, tokens=1))
    assert [speed.began for speed in history.last_hour()] == [
        1000.0 + number for number in range(more, HOUR_SPEEDS + more)
    ]
