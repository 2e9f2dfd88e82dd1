"""The rules for which models are in memory, on the same arrivals: each by hand, then what the docs say."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.bench.fairness.memory.__main__ import POLICIES, main, play
from tests.bench.fairness.memory.arrivals import LONGEST_ANSWER_SECONDS, MODELS, PAUSES
from tests.bench.fairness.memory.gateway import Gateway
from tests.bench.fairness.memory.just_in_time import JustInTime
from tests.bench.fairness.memory.swap_when_idle import SwapWhenIdle
from tests.bench.fairness.memory.world import Outcome, Policy, Request, World

HOUR = 3600.0
LOAD, UNLOAD = 5.0, 0.5
SWITCH_AFTER = RESIDENCE = 20.0


def outcome_of(policy: Policy, *requests: tuple[str, str, float, float]) -> Outcome:
    """Play requests (key, model, time, seconds) for ten minutes."""
    world = World(policy, load_seconds=LOAD, unload_seconds=UNLOAD)
    return world.play([Request(*request) for request in requests], 600.0)


# A's answer runs from 5 to 35; B asks for the other model at 10.
OVERLAP = ("a", "one", 0.0, 30.0), ("b", "other", 10.0, 10.0)


def test_just_in_time_cuts_off_what_runs() -> None:
    """By hand: A's answer ends at 10, the other model is there at 15."""
    outcome = outcome_of(JustInTime(), *OVERLAP)
    assert (outcome.answered, outcome.cut_off) == ({"b": 1}, {"a": 1})
    assert outcome.waits == {"a": [5.0], "b": [5.0]}
    assert outcome.loads == 2


def test_just_in_time_loads_a_model_for_each_request_that_finds_it_absent() -> None:
    outcome = outcome_of(JustInTime(), *((key, "one", 0.0, 10.0) for key in "abc"), ("d", "one", 4.0, 10.0))
    assert outcome.loads == 4
    assert outcome.loading_seconds == 9.0  # the last one begins at 4
    assert outcome.answered.total() == 4


@pytest.mark.parametrize("policy", [SwapWhenIdle, Gateway])
def test_others_wait_for_what_runs(policy: type[Policy]) -> None:
    """By hand: A's answer ends at 35, and the other model is there at 35 + 0.5 + 5."""
    outcome = outcome_of(policy(), *OVERLAP)
    assert outcome.answered == {"a": 1, "b": 1}
    assert outcome.waits == {"a": [5.0], "b": [30.5]}
    # A pays from 0 to 35, B the load and its answer; nobody is charged for the unload.
    assert outcome.seconds == pytest.approx({"a": 35.0, "b": 15.0})
    assert outcome.loading_seconds == 10.0


def test_swap_when_idle_lets_the_resident_model_go_on() -> None:
    """While A always has a request running, B waits until the end."""
    overlapping = [("a", "one", 8.0 * number, 10.0) for number in range(75)]
    outcome = outcome_of(SwapWhenIdle(), *overlapping, ("b", "other", 10.0, 1.0))
    assert outcome.waits["b"] == [590.0]
    assert outcome.loads == 1
    # With the gateway, B waits for 20 s, for A's answer that began last, for the unload and the load.
    outcome = outcome_of(Gateway(), *overlapping, ("b", "other", 10.0, 1.0))
    assert SWITCH_AFTER < outcome.waits["b"][0] <= SWITCH_AFTER + 10.0 + UNLOAD + LOAD


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", PAUSES)
def test_the_gateway_cuts_nothing_off_and_bounds_loads(name: str, seed: int) -> None:
    """On every list: no answer is cut off, and loads take a fifth of the time and one load at most."""
    outcome = play(Gateway, PAUSES[name], HOUR, seed)
    assert outcome.cut_off.total() == 0
    assert outcome.loading_seconds <= 0.2 * HOUR + LOAD


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_key_below_its_share_waits_no_longer_than_a_swap(seed: int) -> None:
    bound = max(SWITCH_AFTER, RESIDENCE) + LONGEST_ANSWER_SECONDS + UNLOAD + LOAD
    outcome = play(Gateway, PAUSES["guest"], HOUR, seed)
    assert max(outcome.waits["d"]) <= bound
    assert max(play(SwapWhenIdle, PAUSES["guest"], HOUR, seed).waits["d"]) > 2 * bound


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_more_requests_than_time_each_key_gets_a_quarter(seed: int) -> None:
    """Three keys want one model, one another; loads are among their seconds."""
    outcome = play(Gateway, PAUSES["flood"], HOUR, seed)
    assert all(0.225 <= outcome.part(key) <= 0.275 for key in MODELS), outcome.seconds
    # The rule that never interrupts a busy model forgets D.
    assert play(SwapWhenIdle, PAUSES["flood"], HOUR, seed).part("d") < 0.05


@pytest.mark.parametrize("name", ["people", "agents", "flood"])
def test_just_in_time_cuts_off_a_third(name: str) -> None:
    outcome = play(JustInTime, PAUSES[name], HOUR, 1)
    gateway = play(Gateway, PAUSES[name], HOUR, 1)
    assert outcome.cut_off.total() > outcome.answered.total() / 2
    assert outcome.answered.total() < gateway.answered.total()
    assert outcome.loads > 1.5 * gateway.loads


def test_the_rules_play_the_same_arrivals() -> None:
    """Each request is answered or cut off, or waits or runs at the end; so the counts of waits agree."""
    outcomes = [play(policy, PAUSES["people"], HOUR, 1) for policy in (Gateway, SwapWhenIdle)]
    counts = [len(list(chain(*outcome.waits.values()))) for outcome in outcomes]
    assert counts[0] == counts[1] > 400


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--hours", "0.05"])
    printed = capsys.readouterr().out
    assert [printed.count(f"| {rule} ") for rule in POLICIES] == [len(PAUSES)] * len(POLICIES)
