"""A bounded history of the exchanges that ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from .record import RequestRecord

RECENT_RECORDS = 100
HOUR_SECONDS = 3600
HOUR_RECORDS = 2000


class History:
    """The last 100 records, and the last 2,000 of exchanges that generated tokens."""

    def __init__(self) -> None:
        self.recent: deque[RequestRecord] = deque(maxlen=RECENT_RECORDS)
        self._generated: deque[RequestRecord] = deque(maxlen=HOUR_RECORDS)

    def add(self, record: RequestRecord) -> None:
        self.recent.append(record)
        if record.tokens:
            self._generated.append(record)

    def last_hour(self) -> Iterator[RequestRecord]:
        """Return the exchanges that generated tokens and ended in the last hour, oldest first."""
        horizon = time.monotonic() - HOUR_SECONDS
        return (record for record in self._generated if record.started + record.total_ms / 1000 > horizon)
