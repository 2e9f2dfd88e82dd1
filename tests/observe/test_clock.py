"""Hours and days of the local zone, and times as users write them."""

from __future__ import annotations

import sys
import time
from datetime import datetime

import pytest

from lmgateway.observe.clock import day_start, hour_start, iso_timestamp, parse_time
from tests.support.zone import local_zone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no tzset")

HOUR = 3600


def at(text: str) -> int:
    """Unix seconds of an ISO time with its zone."""
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("zone", "moment", "hour"),
    [
        pytest.param("UTC", "2026-11-30T14:59:59Z", "2026-11-30T14:00:00Z", id="UTC"),
        pytest.param("Asia/Kolkata", "2026-11-30T14:29:59Z", "2026-11-30T13:30:00Z", id="half an hour off"),
        pytest.param("Asia/Kathmandu", "2026-11-30T14:14:59Z", "2026-11-30T13:15:00Z", id="a quarter off"),
        pytest.param("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", id="the first 2:30"),
        pytest.param("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", id="the second 2:30"),
        # On 5 April 2026, 2:00 at +11:00 becomes 1:30 at +10:30.
        pytest.param("Australia/Lord_Howe", "2026-04-04T14:59:59Z", "2026-04-04T14:00:00Z", id="before"),
        pytest.param("Australia/Lord_Howe", "2026-04-04T15:10:00Z", "2026-04-04T15:00:00Z", id="again"),
        pytest.param("Australia/Lord_Howe", "2026-04-04T15:30:00Z", "2026-04-04T15:30:00Z", id="after"),
        # On 4 October 2026, 2:00 at +10:30 becomes 2:30 at +11:00.
        pytest.param("Australia/Lord_Howe", "2026-10-03T15:45:00Z", "2026-10-03T15:30:00Z", id="forward"),
    ],
)
def test_an_hour_begins_where_the_clock_on_the_wall_says_so(zone: str, moment: str, hour: str) -> None:
    """Rows are of the hours that people see, wherever they live."""
    with local_zone(zone):
        assert hour_start(at(moment)) == at(hour)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Africa/Cairo", "2026-04-24", 23),  # there is no midnight
        ("Africa/Cairo", "2026-10-29", 25),
        ("America/Havana", "2026-11-01", 25),  # there are two
        ("America/St_Johns", "2026-06-01", 24),
    ],
)
def test_a_day_has_as_many_hours_as_it_has(zone: str, day: str, hours: int) -> None:
    """No hour of a day on which the clock is changed is missing, or counted for another day."""
    with local_zone(zone):
        begin = int(parse_time(day))
        assert day_start(begin) == begin
        starts = {hour_start(begin + minute * 60) for minute in range(60 * hours)}
        assert len(starts) == hours
        assert {time.strftime("%Y-%m-%d", time.localtime(start)) for start in starts} == {day}
        assert day_start(begin + hours * HOUR - 1) == begin
        assert day_start(begin + hours * HOUR) == begin + hours * HOUR
        assert day_start(begin + hours * HOUR, days=1) == begin


def test_times_as_people_write_them() -> None:
    with local_zone("Europe/Berlin"):
        assert iso_timestamp(parse_time("2026-11-30")) == "2026-11-29T23:00:00.000Z"
        assert iso_timestamp(parse_time("2026-11-30T12:00")) == "2026-11-30T11:00:00.000Z"
        assert iso_timestamp(parse_time("2026-11-30T12:00:00.5Z")) == "2026-11-30T12:00:00.500Z"
        for text in ("", "tomorrow", "2026-13-01", "20000-01-01"):
            with pytest.raises(ValueError, match=r".*"):
                parse_time(text)
