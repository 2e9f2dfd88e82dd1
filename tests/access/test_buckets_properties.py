"""What holds for every bucket and every order of requests."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from lmgateway.access.buckets import Bucket, whole_seconds
from tests.support.properties import checked

capacities = st.integers(1, 200)
starts = st.floats(0, 1e6)
pauses = st.lists(st.floats(0, 90) | st.sampled_from([0.0, 1.0, 60.0]), max_size=40)


@checked
@given(st.integers(1, 20), starts, pauses)
def test_no_window_has_more_than_the_burst_and_the_refill(
    capacity: int, start: float, pauses: list[float]
) -> None:
    """In t seconds at most N + N·t/60 requests are admitted, whenever the window begins."""
    bucket, admitted = Bucket(capacity), []
    for now in accumulate(pauses, initial=start):
        while bucket.standing(now).wait == 0:
            bucket.take(1, now)
            admitted.append(now)
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= capacity + capacity * (admitted[last] - begin) / 60 + 1e-3


@checked
@given(
    capacities, starts, st.lists(st.tuples(st.floats(0, 90), st.integers(0, 1000)), min_size=1, max_size=20)
)
def test_the_wait_is_true(capacity: int, start: float, takings: list[tuple[float, int]]) -> None:
    """After the whole seconds of Retry-After a request is admitted, and one second earlier it isn't."""
    bucket, now = Bucket(capacity), start
    for pause, amount in takings:
        now += pause
        bucket.take(amount, now)
        wait = bucket.standing(now).wait
        seconds = whole_seconds(wait)
        assert bucket.standing(now + seconds).wait == 0
        if wait > 0:
            assert bucket.standing(now + seconds - 1 - 1e-3).wait > 0


@checked
@given(capacities, starts, st.integers(0, 10**6))
def test_the_reset_is_true(capacity: int, start: float, amount: int) -> None:
    """At that time the bucket is full, and not before."""
    bucket = Bucket(capacity)
    bucket.take(amount, start)
    reset = bucket.standing(start).reset
    assert bucket.standing(start + reset + 1e-3).left == capacity
    if amount:
        assert bucket.standing(start + reset - 1e-3).left < capacity


@checked
@given(capacities, st.lists(st.tuples(st.floats(0, 90), capacities), max_size=20))
def test_a_bucket_that_is_resized_is_never_overdrawn_by_it(
    capacity: int, changes: list[tuple[float, int]]
) -> None:
    """Whatever the limit was, the next request waits for one refill at most."""
    bucket, now = Bucket(capacity), 0.0
    for pause, after in changes:
        now += pause
        while bucket.standing(now).wait == 0:
            bucket.take(1, now)
        bucket.resize(after, now)
        assert bucket.standing(now).wait <= 60 / after + 1e-3
