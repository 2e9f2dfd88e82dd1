"""Times: timestamps in the format of the API, and the hours of the local zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

unix_time = time.time


def iso_timestamp(seconds: float | None = None) -> str:
    """Format Unix seconds (by default now) as ISO 8601 in UTC, with milliseconds and Z."""
    return _written(int((unix_time() if seconds is None else seconds) * 1000))


# Three for each request: under load, several of one millisecond.
@lru_cache(maxsize=256)
def _written(milliseconds: int) -> str:
    # The last digits of 1000..1999 are 000..999. This takes 0.4 µs, the format :03d 0.7 µs.
    return f"{_whole(milliseconds // 1000)}.{str(1000 + milliseconds % 1000)[1:]}Z"


def parse_time(text: str) -> float:
    """Return the Unix time of a date or of ISO 8601; without a zone, it is local. Raises ValueError."""
    try:
        seconds = datetime.fromisoformat(text).timestamp()
        iso_timestamp(seconds)  # in UTC, it may be after the last year or before the first
    except (OverflowError, OSError) as exc:  # a year that the platform doesn't support
        raise ValueError(text) from exc
    return seconds


def hour_start(seconds: float) -> int:
    """Return the Unix second at which the local hour of this time began.

    Where the clock is changed by half an hour, the hour of the change consists of two.
    """
    now = int(seconds // 1)
    local = time.localtime(now)
    start = now - local.tm_min * 60 - local.tm_sec
    if time.localtime(start).tm_gmtoff == local.tm_gmtoff:
        return start
    # The clock was changed within this hour, which began with the change.
    before, after = start, now
    while after - before > 1:
        middle = (before + after) // 2
        if time.localtime(middle).tm_gmtoff == local.tm_gmtoff:
            after = middle
        else:
            before = middle
    return after


def day_start(seconds: float, days: int = 0) -> int:
    """Return the Unix second at which the local day of this time began, or one so many days before."""
    day = datetime.fromtimestamp(seconds).date() - timedelta(days=days)  # noqa: DTZ006 - local
    return int(datetime(day.year, day.month, day.day).timestamp())  # noqa: DTZ001 - local


@lru_cache(maxsize=2)  # a request asks several times within one second
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
