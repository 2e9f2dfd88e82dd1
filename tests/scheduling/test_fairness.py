"""Whom the machine's seconds go to, over schedules of half an hour."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from statistics import quantiles

import pytest

from tests.scheduling.schedule import Client, Schedule

HALF_AN_HOUR = 1800.0


def about(seconds: float, *, seed: int = 1) -> Callable[[], float]:
    """Answers that take from half to one and a half times as long."""
    rng = random.Random(seed)
    return lambda: seconds * rng.uniform(0.5, 1.5)


def run(*clients: Client, slots: int = 4, seconds: float = HALF_AN_HOUR) -> Schedule:
    schedule = Schedule(*clients, slots=slots)
    for _ in schedule.run(seconds):
        pass
    return schedule


def part(schedule: Schedule, key: str) -> float:
    return schedule.seconds(key) / schedule.line.accounts.busy_seconds


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_two_keys_get_half_each(slots: int) -> None:
    """However many requests one of them keeps in line."""
    schedule = run(Client("a", 20, about(8)), Client("b", 4, about(8, seed=2)), slots=slots)
    assert part(schedule, "a") == pytest.approx(0.5, abs=0.05)


def test_shares_of_two_to_one() -> None:
    clients = Client("a", 20, about(8), share=2.0), Client("b", 20, about(8, seed=2))
    assert part(run(*clients), "a") == pytest.approx(2 / 3, abs=0.05)


def test_long_answers_get_no_more_time_than_short_ones() -> None:
    """Ten times as long: the same seconds, a tenth of the answers."""
    schedule = run(Client("long", 10, about(30)), Client("short", 10, about(3, seed=2)), seconds=7200)
    assert part(schedule, "long") == pytest.approx(0.5, abs=0.05)
    assert schedule.answers["short"] / schedule.answers["long"] == pytest.approx(10, rel=0.2)


def test_a_key_back_from_silence_takes_no_more_than_its_share() -> None:
    """Neither at once nor later: the others have their part in each minute after it is back."""
    schedule = Schedule(Client("worker", 10, about(5)), Client("sleeper", 10, about(5, seed=2), begins=900))
    marks: list[float] = []
    for now in schedule.run(1500):
        if now >= 900 + 60 * len(marks):
            marks.append(schedule.seconds("worker"))
    minutes = [after - before for before, after in pairwise(marks)]
    # Half of a minute, less what the sleeper's running answers may take.
    assert min(minutes) >= 30 - 10


def test_a_client_that_gives_up_and_asks_again_harms_nobody() -> None:
    """Its place follows what its key has had, and not how often it asks."""
    clients = Client("patient", 6, about(8)), Client("impatient", 6, about(8, seed=2), patience=10)
    assert part(run(*clients), "patient") >= 0.45


def test_an_interactive_request_beside_a_background_flood_waits_for_one_answer_at_most() -> None:
    """The last slot is free of background."""
    flood = Client("agent", 40, about(20), {"priority": "background", "max_wait": 1e9})
    person = Client("person", 1, about(4, seed=2))
    schedule = run(flood, person)
    assert quantiles(schedule.waits["person"], n=20)[-1] <= 30


def test_a_saturated_machine_is_busy_all_the_time() -> None:
    """And as many run as there are slots."""
    schedule = run(Client("a", 20, about(8)), Client("b", 4, about(8, seed=2)))
    assert schedule.line.accounts.busy_seconds == pytest.approx(HALF_AN_HOUR, rel=0.01)
    assert schedule.most_running == 4
