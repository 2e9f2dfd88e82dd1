"""Token buckets and local days, by hand calculation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from lmgateway.access.buckets import Bucket, Day, DayCount, Standing, day_of, format_seconds

HOUR = 3600


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process runs in this time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("capacity", "taken", "later", "expected"),
    [
        (60, 0, 0, Standing(60, 60, 0.0, 0.0)),
        (60, 1, 0, Standing(60, 59, 1.0, 0.0)),  # one a second
        (60, 60, 0, Standing(60, 0, 60.0, 1.0)),
        (60, 60, 0.25, Standing(60, 0, 59.75, 0.75)),
        (60, 60, 1, Standing(60, 1, 59.0, 0.0)),
        (60, 60, 61, Standing(60, 60, 0.0, 0.0)),
        (1, 1, 0, Standing(1, 0, 60.0, 60.0)),
        (1, 1, 59, Standing(1, 0, 1.0, 1.0)),
        (1, 1, 60, Standing(1, 1, 0.0, 0.0)),
        (3, 3, 20, Standing(3, 1, 40.0, 0.0)),
        (600, 1500, 0, Standing(600, -900, 150.0, 90.1)),  # 901 short, at ten a second
        (600, 1500, 90, Standing(600, 0, 60.0, 0.1)),
        (600, 1500, 90.1, Standing(600, 1, 59.9, 0.0)),
    ],
)
def test_a_bucket_refills_evenly(capacity: int, taken: int, later: float, expected: Standing) -> None:
    """What is left, when all is there again, and when one may be taken."""
    bucket = Bucket(capacity)
    bucket.take(taken, 1000.0)
    standing = bucket.standing(1000.0 + later)
    assert standing[:2] == expected[:2]
    assert standing[2:] == pytest.approx(expected[2:])


@pytest.mark.parametrize(
    ("before", "used", "after", "left", "wait"),
    [
        (10, 4, 20, 16, 0.0),
        (10, 10, 20, 10, 0.0),
        (10, 10, 5, 0, 12.0),  # five a minute: the next one in 12 s, and not in 72 s
        (10, 3, 5, 2, 0.0),
        (100, 150, 10, -50, 306.0),  # the 50 that were overdrawn stay: 51 short, at six seconds each
        (100, 150, 200, 50, 0.0),
    ],
)
def test_another_limit_keeps_what_was_used(
    before: int, used: int, after: int, left: int, wait: float
) -> None:
    """A change of the limit is no gift and no trap."""
    bucket = Bucket(before)
    bucket.take(used, 5.0)
    bucket.resize(after, 5.0)
    standing = bucket.standing(5.0)
    assert (standing.limit, standing.left, standing.wait) == (after, left, pytest.approx(wait))


def test_until_a_change_the_bucket_refills_by_the_old_limit() -> None:
    """A limit that is raised late doesn't refill the time before."""
    bucket = Bucket(60)
    bucket.take(60, 0.0)
    bucket.resize(6000, 10.0)
    assert bucket.standing(10.0).left == 5950


def test_what_is_given_back_is_not_more_than_was_taken() -> None:
    """A bucket is never fuller than full."""
    bucket = Bucket(2)
    bucket.take(1, 0.0)
    bucket.give_back(1)
    bucket.give_back(1)
    assert bucket.standing(0.0) == Standing(2, 2, 0.0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.12, "120ms"),
        (0.0001, "1ms"),
        (0.9996, "1s"),
        (1, "1s"),
        (1.2, "2s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (3599.01, "1h0m0s"),
        (3723, "1h2m3s"),
        (86_400, "24h0m0s"),
        (60.00000000001, "1m0s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    """Its documentation has 1s and 6m0s; clients parse Go's format."""
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("zone", "moment", "begins", "hours"),
    [
        ("UTC", "2026-03-29T12:00", "2026-03-29T00:00", 24),
        ("Europe/Berlin", "2026-01-10T22:59:59", "2026-01-09T23:00", 24),
        ("Europe/Berlin", "2026-01-10T23:00", "2026-01-10T23:00", 24),
        ("Europe/Berlin", "2026-03-29T00:30", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-03-29T21:59:59", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-25T00:30", "2026-10-24T22:00", 25),  # 02:30, for the first time
        ("Europe/Berlin", "2026-10-25T01:30", "2026-10-24T22:00", 25),  # 02:30, for the second time
        ("Asia/Kathmandu", "2026-05-01T18:14", "2026-04-30T18:15", 24),
        ("America/Santiago", "2026-09-06T12:00", "2026-09-06T04:00", 23),  # it begins at 01:00
        ("America/Havana", "2026-11-01T04:30", "2026-11-01T04:00", 25),  # 00:30, for the first time
        ("America/Havana", "2026-11-01T05:30", "2026-11-01T04:00", 25),  # 00:30, for the second time
        ("Pacific/Apia", "2011-12-29T12:00", "2011-12-29T10:00", 24),  # the day after is left out
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_a_day_is_the_local_one(moment: str, begins: str, hours: int) -> None:
    """Also where the clocks change, even at midnight."""
    start = utc(begins)
    assert day_of(utc(moment)) == Day(start, start + hours * HOUR)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Havana", "America/Santiago", "Asia/Beirut"], indirect=True
)
@pytest.mark.usefixtures("zone")
def test_days_have_no_gap_and_no_overlap() -> None:
    """Every moment of a year is in one day, the one that it is asked for."""
    begin = utc("2026-01-01T12:00")
    days = [day_of(begin + hour * HOUR) for hour in range(366 * 24)]
    for hour, day in enumerate(days):
        assert day.begins <= begin + hour * HOUR < day.ends
    for day, following in pairwise(dict.fromkeys(days)):
        assert day.ends == following.begins


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_a_days_count_begins_anew_at_midnight() -> None:
    """Not 24 hours after the first request, and on the day of a change an hour earlier."""
    count, noon = DayCount(), utc("2026-03-29T10:00")  # 12:00 in summer time
    count.take(70, utc("2026-03-28T22:59"))
    count.take(50, noon)
    count.take(60, noon)
    assert count.standing(100, noon) == Standing(100, -10, 12 * HOUR, 12 * HOUR)
    assert count.standing(200, noon) == Standing(200, 90, 12 * HOUR, 0.0)
    assert count.used(noon + 12 * HOUR - 1) == 110
    assert count.used(noon + 12 * HOUR) == 0
