"""Timestamps in the format of the API."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache

unix_time = time.time


def iso_timestamp(seconds: float | None = None) -> str:
    """Format Unix seconds (by default now) as ISO 8601 in UTC, with milliseconds and Z."""
    milliseconds = int((unix_time() if seconds is None else seconds) * 1000)
    return f"{_whole(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=2)  # a request asks several times within one second
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
