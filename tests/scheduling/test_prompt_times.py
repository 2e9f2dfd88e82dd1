"""How long a prompt holds its slot after its client has left: by the contract, twice as long as such prompts
take and at most 120 s.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.scheduling.prompt_times import PromptTimes
from tests.support.properties import checked

Learned = list[tuple[int, float]]
sizes = st.integers(min_value=1, max_value=64 * 1024**2)


@pytest.mark.parametrize(
    ("learned", "body_bytes", "seconds"),
    [
        ([], 1000, 120.0),
        # One prompt: in proportion.
        ([(1000, 1.0)], 1000, 2.0),
        ([(1000, 1.0)], 10_000, 20.0),
        ([(1000, 1.0)], 500, 1.0),
        ([(1000, 1.0)], 10**6, 120.0),
        # A quarter of a second each, and a second for 1,000 bytes.
        ([(1000, 1.25), (3000, 3.25)], 2000, 4.5),
        ([(1000, 1.25), (3000, 3.25)], 0, 0.5),
        ([(1000, 1.25), (3000, 3.25)], 9750, 20.0),
        # The long one was in LM Studio's cache: 0.95 of 4 s and 2 s, by a weight of 1.95.
        ([(1000, 4.0), (9000, 2.0)], 5000, 2 * 5.8 / 1.95),
        # A line that would begin below zero: in proportion, 9 · 9 / (0.95 · 1 + 81) s per kB.
        ([(1000, 0.0), (9000, 9.0)], 1000, 2 * 81 / 81.95),
    ],
)
def test_a_prompt_takes_what_such_prompts_took(learned: Learned, body_bytes: int, seconds: float) -> None:
    """By a straight line; a prompt is processed token by token."""
    times = PromptTimes()
    for size, took in learned:
        times.learn("a", size, took)
    assert times.linger_seconds("a", body_bytes) == pytest.approx(seconds)
    assert times.linger_seconds("b", body_bytes) == 120.0


def test_what_was_learned_is_forgotten_in_a_while() -> None:
    """After another load setting, the model may be ten times as fast: 0.95 ** 100 is 0.6 % of the old."""
    times = PromptTimes()
    for seconds in [20.0] * 100 + [2.0] * 100:
        times.learn("a", 10_000, seconds)
    assert times.linger_seconds("a", 10_000) == pytest.approx(4.0, rel=0.06)


def test_a_request_without_a_body_teaches_nothing() -> None:
    """It has no prompt."""
    times = PromptTimes()
    times.learn("a", 0, 3.0)
    assert times.linger_seconds("a", 10) == 120.0


@checked
@given(st.lists(st.tuples(sizes, st.floats(min_value=0, max_value=10**6)), min_size=1), sizes)
def test_any_measurement_leaves_a_time(learned: Learned, body_bytes: int) -> None:
    """From 0 to 120 s; nothing divides by zero."""
    times = PromptTimes()
    for size, took in learned:
        times.learn("a", size, took)
    assert 0 <= times.linger_seconds("a", body_bytes) <= 120
