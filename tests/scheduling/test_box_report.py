"""How many waiting requests are counted for a box: those that can only go there, or wait for its load."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lmgateway.scheduling.box_report import count_waiting, wanted_by
from lmgateway.scheduling.tickets import Wanted
from lmgateway.scheduling.waiting import Waiting
from tests.scheduling.schedule import ticket
from tests.scheduling.test_line import arrive, line

ANY, ONLY_A, RARE = Wanted("", "common"), Wanted("a", "common"), Wanted("", "rare")
PASSED_A = Wanted("", "common", passed=frozenset({"a"}))
# The boxes that each may go to.
PLACES = {ANY: ["a", "b"], ONLY_A: ["a"], RARE: ["b"], PASSED_A: ["b"], Wanted("", "unknown"): []}


@pytest.mark.parametrize(
    ("wanted", "brought_by", "counts"),
    [
        ({}, {}, (0, 0)),
        ({ANY: 3}, {}, (0, 0)),
        ({ONLY_A: 2}, {}, (2, 0)),
        ({RARE: 4}, {}, (0, 4)),
        ({PASSED_A: 1}, {}, (0, 1)),
        ({ANY: 3}, {ANY: "b"}, (0, 3)),
        ({ANY: 3, RARE: 2}, {ANY: "a", RARE: "b"}, (3, 2)),  # each once
        ({Wanted("", "unknown"): 5}, {}, (0, 0)),
    ],
)
def test_what_can_only_go_to_a_box_or_waits_for_its_load(
    wanted: Mapping[Wanted, int], brought_by: Mapping[Wanted, str], counts: tuple[int, int]
) -> None:
    def count(box: str) -> int:
        return count_waiting(box, wanted, PLACES.__getitem__, lambda target: brought_by.get(target) == box)

    assert (count("a"), count("b")) == counts


def test_requests_that_want_the_same_are_counted_together() -> None:
    """Of all keys."""
    made = line(1)
    arrive(made, *(ticket(key) for key in ("alice", "alice", "bob", "carol")))
    assert [*wanted_by(made.waiting).values()] == [3]
    assert wanted_by(Waiting()) == {}
