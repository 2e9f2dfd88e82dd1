"""The generation speed of an answer, from the tokens observed."""

from __future__ import annotations

import pytest

from lmgateway.observe.tokens import TokenCount, generation_speed


@pytest.mark.parametrize(
    ("stream", "reported", "seen", "passed", "speed"),
    [
        pytest.param(False, 20, 0, None, 10.0, id="plain: all of its two seconds"),
        pytest.param(True, None, 41, 1.0, 40.0, id="stream: all but the first, from the first on"),
        pytest.param(True, 41, 41, 1.0, 40.0, id="stream with usage"),
        pytest.param(True, 41, 21, 1.0, 40.0, id="two tokens in an event"),
        pytest.param(True, 1, 1, 0.0, None, id="one token"),
        pytest.param(True, None, 1, 0.0, None, id="its client left after one token"),
        pytest.param(True, None, 0, None, None, id="no token"),
        pytest.param(True, 2, 2, 0.25, 4.0, id="two tokens"),
        pytest.param(True, 20, 1, 0.0, 10.0, id="sent at once after the last token"),
        pytest.param(True, 20, 2, 0.0001, 10.0, id="the same, in two pieces"),
        pytest.param(True, 3, 3, 0.0, None, id="all in one read"),
    ],
)
def test_speed_is_that_of_generating(
    stream: bool, reported: int | None, seen: int, passed: float | None, speed: float | None
) -> None:
    """A long prefill or an answer in one piece doesn't change it."""
    count = TokenCount(seen=seen, completion_tokens=reported)
    measured = generation_speed(count, total=2.0, passed=passed, stream=stream)
    assert measured == (None if speed is None else pytest.approx(speed))


def test_reported_speed_counts() -> None:
    count = TokenCount(seen=41, tokens_per_second=12.345)
    assert generation_speed(count, total=2.0, passed=1.0, stream=True) == pytest.approx(12.345, abs=0.01)
