"""The estimates by example: who is before whom, and when a request may run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lmgateway.scheduling.durations import MAX_MODELS, Durations
from lmgateway.scheduling.forecast import Forecast, forecast
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.tickets import Terms, Ticket
from tests.scheduling.schedule import MODEL, instance, ticket
from tests.scheduling.test_line import arrive, finish, line


def learned(seconds: float = 10.0) -> Durations:
    durations = Durations()
    durations.learn(MODEL, seconds)
    return durations


def expected(of: Line, now: float, durations: Durations) -> Mapping[Ticket, Forecast]:
    of.accounts.advance(now)
    return forecast(of, now, durations)


def ahead(found: Mapping[Ticket, Forecast], *tickets: Ticket) -> list[int]:
    return [found[one].ahead for one in tickets]


def seconds(found: Mapping[Ticket, Forecast], *tickets: Ticket) -> list[float | None]:
    return [found[one].seconds for one in tickets]


def test_the_requests_of_one_key_run_in_the_order_of_arrival() -> None:
    """One slot, 10 s an answer, 4 s passed: the next in 6 s, then every 10 s."""
    made, requests = line(1), [ticket() for _ in range(4)]
    arrive(made, *requests)
    found = expected(made, 4.0, learned())
    assert ahead(found, *requests[1:]) == [0, 1, 2]
    assert seconds(found, *requests[1:]) == [6.0, 16.0, 26.0]


def test_slots_free_up_one_after_the_other() -> None:
    """Two slots since 0 s and 4 s, 10 s an answer, now 5 s: in 5 s, 9 s, 15 s."""
    made, requests = line(2), [ticket() for _ in range(5)]
    arrive(made, requests[0], now=0.0)
    arrive(made, *requests[1:], now=4.0)
    found = expected(made, 5.0, learned())
    assert seconds(found, *requests[2:]) == [5.0, 9.0, 15.0]


def test_a_model_that_leaves_the_memory_frees_no_slot() -> None:
    """What runs on it ends in 6 s, but who waits for it then waits for a load, of which nothing is known."""
    made, requests = Line(assume=lambda _: "model"), [ticket() for _ in range(2)]
    made.put(only := instance(1), 0.0)
    arrive(made, *requests)
    made.set_state(only, "draining")
    made.dispatch(4.0)
    found = expected(made, 4.0, learned())
    assert found[requests[1]] == Forecast("model", 0, None)


def test_a_long_answer_isnt_always_about_to_end() -> None:
    """After 20 s of a usual 10 s, it is expected to go on for a quarter of that."""
    made, requests = line(1), [ticket() for _ in range(3)]
    arrive(made, *requests)
    assert seconds(expected(made, 20.0, learned()), *requests[1:]) == [5.0, 15.0]


def test_nothing_is_estimated_without_history() -> None:
    """A time that nothing supports would be believed."""
    made, requests = line(1), [ticket() for _ in range(3)]
    arrive(made, *requests)
    found = expected(made, 4.0, Durations())
    assert ahead(found, *requests[1:]) == [0, 1]
    assert seconds(found, *requests[1:]) == [None, None]


def test_a_key_with_many_requests_isnt_wholly_before_a_key_with_one() -> None:
    """Alice and bob are level; alice has one running, so bob is next, and her second runs after that."""
    made = line(1)
    first, others, bobs = ticket("alice"), [ticket("alice") for _ in range(50)], ticket("bob")
    arrive(made, first, *others, bobs)
    found = expected(made, 0.0, learned())
    assert ahead(found, bobs, *others[:2]) == [0, 1, 2]


def test_a_key_that_has_had_less_is_before_the_others() -> None:
    """Whatever the order of arrival. Bob begins at alice's 9 s and has 5 s; then alice runs up to 25 s."""
    made = line(1)
    alices, bobs = [ticket("alice") for _ in range(3)], [ticket("bob") for _ in range(2)]
    arrive(made, *alices)
    arrive(made, *bobs, now=9.0)
    assert finish(made, alices[0], 10.0) == [bobs[0].request_id]
    assert finish(made, bobs[0], 15.0) == [alices[1].request_id]
    found = expected(made, 30.0, learned())
    assert ahead(found, bobs[1], alices[2]) == [0, 1]


def test_a_share_of_two_has_two_turns_for_one() -> None:
    """Level at first: the older one, then two for alice, one for bob."""
    made, running = line(1, terms=Terms(share=2.0), key="alice"), ticket("carol")
    alices = [ticket("alice") for _ in range(4)]
    bobs = [ticket("bob") for _ in range(2)]
    arrive(made, running, *alices, *bobs)
    # Virtual seconds: alice 0, bob 0, alice 5, alice 10, bob 10, alice 15. Ties go to the older request.
    found = expected(made, 0.0, learned())
    assert ahead(found, *alices) == [0, 2, 3, 5]
    assert ahead(found, *bobs) == [1, 4]


def test_interactive_requests_are_before_background_ones() -> None:
    """Until those have waited for two minutes."""
    made, running = line(1), ticket("carol")
    slow, quick = ticket("alice", priority="background"), ticket("alice")
    arrive(made, running, slow, quick)
    assert ahead(expected(made, 119.0, learned()), slow, quick) == [1, 0]
    assert ahead(expected(made, 120.0, learned()), slow, quick) == [0, 1]


def test_the_users_of_a_key_take_turns() -> None:
    """Users of one key are served alternately, each in its order."""
    made, running = line(1), ticket("carol")
    anns = [ticket("app", user="ann") for _ in range(3)]
    bens = [ticket("app", user="ben") for _ in range(2)]
    arrive(made, running, *anns, *bens)
    found = expected(made, 0.0, learned())
    assert ahead(found, *anns) == [0, 2, 4]
    assert ahead(found, *bens) == [1, 3]


def test_a_request_that_waits_for_its_key_is_before_no_other_key() -> None:
    """It takes no slot: bob isn't behind alice's, of which only one may run at once."""
    made = line(2, terms=Terms(running=1), key="alice")
    alices = [ticket("alice") for _ in range(3)]
    others = [ticket("carol"), ticket("bob")]
    arrive(made, *alices, *others)
    found = expected(made, 4.0, learned())
    assert ahead(found, *alices[1:], others[1]) == [0, 1, 0]
    assert seconds(found, *alices[1:], others[1]) == [6.0, 16.0, 6.0]


def test_the_mean_follows_the_recent_answers() -> None:
    """The last twenty count alike."""
    durations = Durations()
    assert durations.mean("m") is None
    for number in range(20):
        durations.learn("m", 20.0 if number < 10 else 10.0)
    assert durations.mean("m") == pytest.approx(15.0)
    durations.learn("m", 40.0)
    assert durations.mean("m") == pytest.approx(16.0)


def test_models_that_clients_invent_are_forgotten() -> None:
    """The memory is bounded, and a model in use stays."""
    durations = Durations()
    durations.learn("used", 5.0)
    for number in range(2 * MAX_MODELS):
        durations.learn(f"invented-{number}", 1.0)
        if number % 100 == 0:
            durations.learn("used", 5.0)
    assert durations.mean("used") == 5.0
    assert durations.mean("invented-0") is None
    assert durations.mean(f"invented-{2 * MAX_MODELS - 1}") == 1.0
