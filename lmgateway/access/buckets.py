"""Token buckets, a day's count, and the local day. Pure: the time is a parameter."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

from msgspec import Struct

MINUTE_SECONDS = 60
# A sum of floats may be this much less than the whole number that it stands for.
_ROUNDING = 1e-6
_ONE = 1 - _ROUNDING


class Standing(NamedTuple):
    """What a limit leaves at one moment.

    `left` is negative if more was used than the limit. `reset` is the seconds until nothing counts as used,
    `wait` the seconds until a request is admitted, 0 if one is admitted now.
    """

    limit: int
    left: int
    reset: float
    wait: float


class Bucket(Struct):
    """A token bucket that refills evenly, `capacity` in a minute. Times are monotonic seconds.

    More can be taken than there is, because tokens are counted after they were generated.
    """

    capacity: int
    used: float = 0.0
    at: float = 0.0

    def take(self, amount: int, now: float) -> None:
        self.used, self.at = self._used(now) + amount, now

    def give_back(self, amount: int, now: float) -> None:
        self.used, self.at = max(self._used(now) - amount, 0.0), now

    def resize(self, capacity: int, now: float) -> None:
        """Change the capacity, and keep what was used: at most the new capacity, and what is overdrawn."""
        used = self._used(now)
        overdrawn = max(used - self.capacity, 0.0)
        self.capacity, self.used, self.at = capacity, min(used, capacity + overdrawn), now

    def take_one(self, now: float) -> bool:
        """Take one if there is room; return whether there was."""
        used = self._used(now)
        if self.capacity - used < _ONE:
            return False
        self.used, self.at = used + 1, now
        return True

    def has_room(self, now: float) -> bool:
        # Most often there is room even if nothing has refilled since, which takes no call to find.
        return self.capacity - self.used >= _ONE or self.capacity - self._used(now) >= _ONE

    def left_and_reset(self, now: float) -> tuple[int, float]:
        """As `standing`, which takes 1 µs more."""
        # `_used` without the call: two for each response of a key with limits.
        seconds = self.used * MINUTE_SECONDS / self.capacity - (now - self.at)
        if seconds <= 0:
            return self.capacity, 0.0
        return floor(self.capacity - seconds * self.capacity / MINUTE_SECONDS + _ROUNDING), seconds

    def standing(self, now: float) -> Standing:
        used = self._used(now)
        left, seconds = self.capacity - used, MINUTE_SECONDS / self.capacity
        return Standing(
            self.capacity,
            floor(left + _ROUNDING),
            used * seconds,
            0.0 if left >= _ONE else (1 - left) * seconds,
        )

    def _used(self, now: float) -> float:
        used = self.used - (now - self.at) * self.capacity / MINUTE_SECONDS
        return used if used > 0 else 0.0


class Day(NamedTuple):
    """A day of the local zone, in Unix seconds. It may have 23 or 25 hours."""

    begins: float
    ends: float


def day_of(now: float) -> Day:
    """Return the local day that has this moment."""
    today = datetime.fromtimestamp(now).astimezone().date()
    # Of a midnight that a change of the clocks skips, timestamp() returns the moment of the change.
    begins, ends = (
        datetime.combine(today + timedelta(days=days), time_of_day.min).timestamp() for days in (0, 1)
    )
    return Day(begins, ends)


class DayCount:
    """The tokens used in the current local day. Times are Unix seconds."""

    __slots__ = ("_begins", "_used", "ends")

    def __init__(self) -> None:
        # The end is that of the day for which `used` was called last.
        self._begins = self.ends = 0.0
        self._used = 0

    def take(self, amount: int, now: float) -> None:
        self._used = self.used(now) + amount

    def used(self, now: float) -> int:
        if not self._begins <= now < self.ends:
            (self._begins, self.ends), self._used = day_of(now), 0
        return self._used

    def standing(self, limit: int, now: float) -> Standing:
        left = limit - self.used(now)
        until_midnight = self.ends - now
        return Standing(limit, left, until_midnight, 0.0 if left > 0 else until_midnight)


def format_seconds(seconds: float) -> str:
    """Write a duration as OpenAI's x-ratelimit-reset does: `120ms`, `1s`, `6m0s`, `1h2m3s`. Rounded up."""
    if 0 < (milliseconds := ceil(seconds * 1000 - _ROUNDING)) < 1000:
        return f"{milliseconds}ms"
    return _format_whole(whole_seconds(seconds))


@lru_cache(maxsize=256)  # that of a day is the same for a second
def _format_whole(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def whole_seconds(seconds: float) -> int:
    """Round up, but for what a sum of floats adds."""
    return ceil(seconds - _ROUNDING)
