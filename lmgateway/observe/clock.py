"""Timestamps in the format of the API."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache

unix_time = time.time


def iso_timestamp(seconds: float | None = None) -> str:
    """Format Unix seconds (by default now) as ISO 8601 in UTC, with milliseconds and Z."""
    milliseconds = int((unix_time() if seconds is None else seconds) * 1000)
    # The last digits of 1000..1999 are 000..999. This takes 0.4 µs, the format :03d 0.7 µs.
    return f"{_whole(milliseconds // 1000)}.{str(1000 + milliseconds % 1000)[1:]}Z"


@lru_cache(maxsize=2)  # a request asks several times within one second
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
