"""A bounded history of the exchanges that ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from .record import RequestRecord

RECENT_RECORDS = 100
HOUR_SECONDS = 3600
HOUR_SPEEDS = 2000


class Speed(NamedTuple):
    """How fast one exchange was. `began` is in Unix seconds, `ended` of the monotonic clock."""

    began: float
    ended: float
    ttft_ms: int | None
    tokens_per_second: float | None


class History:
    """The last 100 records, and the speeds of the last 2,000 exchanges that generated tokens."""

    def __init__(self) -> None:
        self.recent: deque[RequestRecord] = deque(maxlen=RECENT_RECORDS)
        self._speeds: deque[Speed] = deque(maxlen=HOUR_SPEEDS)

    def add(self, record: RequestRecord) -> None:
        self.recent.append(record)
        if record.tokens:
            ended = record.started + record.total_ms / 1000
            self._speeds.append(Speed(record.began, ended, record.ttft_ms, record.tokens_per_second))

    def last_hour(self) -> Iterator[Speed]:
        """Return the speeds of what ended in the last hour, oldest first."""
        horizon = time.monotonic() - HOUR_SECONDS
        return (speed for speed in self._speeds if speed.ended > horizon)
