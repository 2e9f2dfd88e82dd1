"""Token buckets, a day's count, and the local day. Pure: the time is a parameter."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

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


class Bucket:
    """A token bucket that refills evenly, `capacity` in a minute. Times are monotonic seconds.

    More can be taken than there is, because tokens are counted after they were generated.
    """

    __slots__ = ("_each", "_full_at", "_latest", "capacity")

    def __init__(self, capacity: int) -> None:
        # When it is full if nothing more is taken: the only state, so that time changes nothing.
        self._full_at = 0.0
        self._set(capacity)

    def _set(self, capacity: int) -> None:
        self.capacity = capacity
        # The seconds in which one refills, and the most that may be missing until it is full if one is left.
        self._each = MINUTE_SECONDS / capacity
        self._latest = MINUTE_SECONDS - _ONE * self._each

    def take(self, amount: int, now: float) -> None:
        self._full_at = max(self._full_at, now) + amount * self._each

    def take_one(self, now: float) -> bool:
        """Take one if there is room for it; return whether there was."""
        if self._full_at - now > self._latest:
            return False
        self.take(1, now)
        return True

    def give_back(self, amount: int) -> None:
        self._full_at -= amount * self._each

    def resize(self, capacity: int, now: float) -> None:
        """Change the capacity, and keep what was used: at most the new capacity, and what is overdrawn."""
        used = max(self._full_at - now, 0.0) / self._each
        overdrawn = max(used - self.capacity, 0.0)
        self._set(capacity)
        self._full_at = now + min(used, capacity + overdrawn) * self._each

    def has_room(self, now: float) -> bool:
        """True if one may be taken."""
        return self._full_at - now <= self._latest

    def left_and_reset(self, now: float) -> tuple[int, float]:
        """Return the first and the second of what `standing` does, which takes 1 µs more."""
        seconds = self._full_at - now
        if seconds <= 0:
            return self.capacity, 0.0
        return floor(self.capacity - seconds / self._each + _ROUNDING), seconds

    def standing(self, now: float) -> Standing:
        left, reset = self.left_and_reset(now)
        wait = 0.0 if self.has_room(now) else self._full_at - now - MINUTE_SECONDS + self._each
        return Standing(self.capacity, left, reset, wait)


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
    if seconds < 1 and 0 < (milliseconds := ceil(seconds * 1000 - _ROUNDING)) < 1000:
        return f"{milliseconds}ms"
    return _format_whole(ceil(seconds - _ROUNDING))


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
