"""What is made of what was seen of a request."""

from __future__ import annotations

import pytest

from lmgateway.observe.exchange import Exchange
from lmgateway.observe.tokens import TokenCount


@pytest.mark.parametrize(
    ("stream", "told", "seen", "came", "speed"),
    [
        pytest.param(False, 20, 0, None, 10.0, id="plain: all of its two seconds"),
        pytest.param(True, None, 41, (0.5, 1.5), 40.0, id="stream: all but the first while they came"),
        pytest.param(True, 41, 41, (0.5, 1.5), 40.0, id="stream that tells its usage"),
        pytest.param(True, 41, 21, (0.5, 1.5), 40.0, id="two tokens in an event"),
        pytest.param(True, 1, 1, (0.5, 0.5), None, id="one token"),
        pytest.param(True, None, 1, (0.5, 0.5), None, id="its client left after one token"),
        pytest.param(True, None, 0, None, None, id="nothing came"),
        pytest.param(True, 2, 2, (0.5, 0.75), 4.0, id="two tokens"),
        pytest.param(True, 20, 1, (0.5, 0.5), 10.0, id="kept back until all were there"),
        pytest.param(True, 20, 2, (0.5, 0.5001), 10.0, id="kept back, in two pieces"),
        pytest.param(True, 3, 3, (0.5, 0.5), None, id="all in one read"),
    ],
)
def test_speed_is_that_of_generating(
    stream: bool, told: int | None, seen: int, came: tuple[float, float] | None, speed: float | None
) -> None:
    """Neither a prompt that takes long nor an answer that comes in one piece makes it something else."""
    exchange = Exchange("id", "client", "POST", "/", started=1000.0, ended=1002.0, stream=stream)
    exchange.count = TokenCount(seen=seen, completion_tokens=told)
    if came is not None:
        exchange.first_token, exchange.last_token = (1000.0 + seconds for seconds in came)
    assert exchange.tokens_per_second == (None if speed is None else pytest.approx(speed))
