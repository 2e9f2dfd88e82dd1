"""Whether LM Studio's count is believed: by the contract, not after three wrong looks in a row."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.outside import CountTrust

Looks = list[tuple[int, int, str]]


@pytest.mark.parametrize(
    "looks",
    [
        # Nothing to judge by: fewer than two of ours run.
        [(0, 0, "use"), (0, 1, "use"), (1, 0, "use"), (1, 1, "use"), (0, 7, "use"), (1, 0, "use")],
        # Counts that fit, and others' requests.
        [(2, 2, "use"), (4, 9, "use"), (3, 2, "use")],
        # Lost after the third wrong one, and for good.
        [(2, 1, "ignore"), (4, 0, "ignore"), (2, 1, "give up"), (2, 1, "ignore"), (2, 2, "ignore")],
        # In a row: a count of two or more begins anew, whatever runs.
        [(2, 1, "ignore"), (2, 1, "ignore"), (2, 2, "use"), (2, 1, "ignore"), (2, 1, "ignore")],
        [(2, 1, "ignore"), (2, 1, "ignore"), (0, 2, "use"), (2, 1, "ignore"), (2, 1, "ignore")],
        # A look that can't judge doesn't acquit.
        [(2, 1, "ignore"), (2, 1, "ignore"), (1, 1, "use"), (0, 0, "use"), (2, 1, "give up")],
    ],
)
def test_three_wrong_counts_in_a_row_lose_trust(looks: Looks) -> None:
    """A wrong one is ignored: by it, requests that run would be done."""
    trust = CountTrust()
    assert [trust.look(ours, counted) for ours, counted, _ in looks] == [verdict for *_, verdict in looks]
    assert trust.is_lost is ("give up" in {verdict for *_, verdict in looks})
