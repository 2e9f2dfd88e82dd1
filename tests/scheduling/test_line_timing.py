"""What time alone changes in the line: no change is lost because another event comes first."""

from __future__ import annotations

from lmgateway.scheduling.bounds import Bounds, Refusal
from lmgateway.scheduling.tickets import Ticket
from lmgateway.scheduling.waiting import Waiter
from tests.scheduling.schedule import ticket
from tests.scheduling.test_line import arrive, finish, line


def waiters(expired: list[Waiter]) -> list[Ticket]:
    return [one.ticket for one in expired]


def test_a_wait_ends_though_another_event_came_in_its_last_moment() -> None:
    """The event loop handles what it receives before its timers, and each event sets the timer anew."""
    made = line(1)
    running, patient, waiting = ticket(), ticket(), ticket(max_wait=10.0)
    arrive(made, running, patient, waiting)
    assert made.due() == 10.0
    # The timer of 10.0 hasn't fired when an answer ends; it is set anew at 10.2.
    assert finish(made, running, 10.1) == [patient.request_id]
    due = made.due()
    assert due is not None
    assert due <= 10.2
    expired, _ = made.tick(10.2)
    assert waiters(expired) == [waiting]


def test_a_promotion_counts_though_the_line_was_looked_at_meanwhile() -> None:
    """A report charges the accounts, and decides nothing."""
    made = line(1)
    running, background, person = ticket(), ticket(priority="background"), ticket()
    arrive(made, running, background, person)
    assert made.due() == 120.0
    made.accounts.advance(120.5)
    due = made.due()
    assert due is not None
    assert due <= 121.0


def test_the_spare_slot_is_given_when_the_other_callers_ten_minutes_are_over() -> None:
    """Not only when one of the key's own answers ends."""
    made = line(2)
    other = ticket("other")
    arrive(made, other)
    finish(made, other, 5.0)
    first, second = ticket("agent"), ticket("agent")
    assert arrive(made, first, second, now=10.0) == [first.request_id]
    due = made.due()
    assert due == 605.0
    _, leases = made.tick(due)
    assert [lease.ticket for lease in leases] == [second]


def test_who_may_run_when_another_is_refused_gets_its_slot() -> None:
    """The ten minutes of another caller are over, and the next arrival finds the line full."""
    made = line(2)
    other = ticket("other")
    arrive(made, other)
    finish(made, other, 5.0)
    first, second, third = (ticket("agent") for _ in range(3))
    arrive(made, first, second, now=10.0)
    made.bounds = Bounds(waiting=0)
    outcome = made.arrive(third, 700.0)
    assert isinstance(outcome, Refusal)
    assert [lease.ticket for lease in outcome.leases] == [second]
    assert {*made.running} == {first, second}


def test_a_request_without_a_limit_needs_no_timer() -> None:
    """It waits for another event."""
    made = line(1)
    arrive(made, ticket(), ticket())
    assert made.due() is None
