"""How long the event loop is held by a long line."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.bounds import Bounds
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.tickets import Terms
from tests.scheduling.schedule import instance, ticket
from tests.support.processor import processor_seconds

WAITING = 1000


@pytest.mark.parametrize("addresses", [1, 1000])
@pytest.mark.parametrize(("context", "seconds"), [(None, 0.01), (1000, 0.03)])
def test_an_event_takes_milliseconds(addresses: int, context: int | None, seconds: float) -> None:
    """The time that all streams stand still, with 1,000 waiting: 2 and 5 ms, and 150 and 300 ms once."""
    terms = [Terms(running=0)]
    line = Line(Bounds(waiting=2 * WAITING, waiting_per_key=2 * WAITING), terms=lambda key: terms[0])
    line.put(instance(4, context=context), 0.0)
    for number in range(WAITING + 4):
        address = f"address {number % addresses}"
        # In a context of 1,000 tokens one has room at a time, so all of a group are looked at.
        line.arrive(ticket(address=address, prompt_bytes=2400, max_wait=600.0), number * 1e-6)
    terms[0] = Terms()
    line.change_terms(0.002)
    ends = iter(range(3, WAITING))

    def one_ends() -> None:
        now = float(next(ends)) / 1000
        line.release(next(iter(line.running.values())), now)
        line.due()

    assert processor_seconds(one_ends) < seconds
    assert len(line.waiting) > WAITING - 20
