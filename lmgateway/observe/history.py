"""A bounded history of the exchanges that ended."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from .record import RequestRecord

RECENT_RECORDS = 100
HOUR_SECONDS = 3600
HOUR_SPEEDS = 2000

# A few tokens may arrive together: one that comes 2 ms after the other would count as 500 tokens a second.
LEAST_TOKENS = 8

_COLUMNS = 4


class Speed(NamedTuple):
    """How fast an exchange was. `began` is in Unix seconds; the rate of an answer of a few tokens is None."""

    began: float
    ttft_ms: int | None
    tokens_per_second: float | None


class History:
    """The last 100 records, and the last 2,000 speeds of exchanges that generated tokens."""

    def __init__(self) -> None:
        self.recent: deque[RequestRecord] = deque(maxlen=RECENT_RECORDS)
        # Rows of: the end by the monotonic clock, `began`, and the two speeds, or NaN. 2,000 records in their
        # place push other data out of the processor's caches: 239 µs per request become 247, with 32 clients
        # (four bursts in turn).
        self._speeds = array("d")

    def add(self, record: RequestRecord) -> None:
        self.recent.append(record)
        if record.tokens:
            speeds, ttft, rate = self._speeds, record.ttft_ms, record.tokens_per_second
            speeds.extend(
                (
                    record.started + record.total_ms / 1000,
                    record.began,
                    math.nan if ttft is None else ttft,
                    math.nan if rate is None or record.tokens < LEAST_TOKENS else rate,
                )
            )
            if len(speeds) >= 2 * HOUR_SPEEDS * _COLUMNS:
                del speeds[: -HOUR_SPEEDS * _COLUMNS]

    def last_hour(self) -> Iterator[Speed]:
        """Yield the speeds of exchanges that generated tokens and ended in the last hour, oldest first."""
        horizon = time.monotonic() - HOUR_SECONDS
        rows = self._speeds[-HOUR_SPEEDS * _COLUMNS :]
        for ended, began, ttft, rate in zip(
            *(rows[column::_COLUMNS] for column in range(_COLUMNS)), strict=True
        ):
            if ended > horizon:
                yield Speed(
                    began, None if math.isnan(ttft) else int(ttft), None if math.isnan(rate) else rate
                )
