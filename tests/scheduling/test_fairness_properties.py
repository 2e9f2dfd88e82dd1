"""What the line promises to keys that always have something waiting, over random schedules."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmgateway.scheduling.tickets import Account
from tests.scheduling.schedule import Client, Schedule
from tests.support.properties import checked

# As many as a schedule can have, so that a key always has one more waiting.
MOST_SLOTS = 5
SECONDS = 300.0
few = settings(checked, max_examples=20)
many = settings(checked, max_examples=1000)

# Of one key: how long its answers take at least and at most.
lengths = st.tuples(st.sampled_from([0.5, 2.0, 10.0]), st.sampled_from([1.0, 3.0]))


def answers(length: tuple[float, float], seed: int) -> Callable[[], float]:
    random, (least, factor) = Random(seed), length
    return lambda: random.uniform(least, least * factor)


def longest(*clients: tuple[float, float]) -> float:
    return max(least * factor for least, factor in clients)


def backlogged(slots: int, keys: list[tuple[float, float]], begins: float) -> Schedule:
    """Keys of which each has more requests than there are slots; the last one joins later."""
    clients = [
        Client(f"key {number}", slots + 1 + number, answers(length, number))
        for number, length in enumerate(keys)
    ]
    clients[-1].begins = begins
    return Schedule(*clients, slots=slots)


def check_the_difference(slots: int, keys: list[tuple[float, float]], begins: float) -> None:
    """At no moment is one key further ahead of another than what it can have running takes."""
    schedule = backlogged(slots, keys, begins)
    accounts = [Account(client.key) for client in schedule.clients]
    # The first to arrive takes all slots; as soon as another one is there, one is spared.
    bound = slots * longest(*keys) + 1e-9
    for now in schedule.run(SECONDS):
        if now > begins:
            times = [standing.time for account, standing in schedule.line.accounts.standings()]
            assert len(times) == len(accounts)
            assert max(times) - min(times) <= bound


schedules = given(
    slots=st.integers(1, MOST_SLOTS),
    keys=st.lists(lengths, min_size=2, max_size=4),
    begins=st.sampled_from([0.0, 100.0]),
)


@few
@schedules
def test_no_key_gets_far_ahead(slots: int, keys: list[tuple[float, float]], begins: float) -> None:
    """Of keys that always wait, also one that joins late: at most its leases times the longest answer."""
    check_the_difference(slots, keys, begins)


@pytest.mark.long
@pytest.mark.timeout(900)
@many
@schedules
def test_no_key_gets_far_ahead_in_a_thousand(
    slots: int, keys: list[tuple[float, float]], begins: float
) -> None:
    check_the_difference(slots, keys, begins)


@few
@given(
    slots=st.integers(1, MOST_SLOTS),
    keys=st.lists(lengths, min_size=1, max_size=3),
    max_wait=st.sampled_from([60.0, 1000.0]),
)
def test_background_waits_for_two_minutes_and_one_answer(
    slots: int, keys: list[tuple[float, float]], max_wait: float
) -> None:
    """Or for half of its own limit, however many interactive requests there are."""
    clients = [
        Client(f"key {number}", slots + 1 + number, answers(length, number))
        for number, length in enumerate(keys)
    ]
    # It begins when the others are there, and never holds more than one slot.
    agent = Client("agent", 1, lambda: 1.0, {"priority": "background"}, begins=1.0, patience=max_wait)
    schedule = Schedule(*clients, agent, slots=slots)
    for _ in schedule.run(SECONDS):
        pass
    waits = schedule.waits["agent"]
    assert waits
    assert max(waits) <= min(120.0, max_wait / 2) + longest(*keys) + 1e-6
