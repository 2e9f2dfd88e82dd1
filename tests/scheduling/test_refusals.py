"""What a refused request is told."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.refusals import retry_seconds


@pytest.mark.parametrize(
    ("answer_seconds", "slots", "seconds"),
    [
        (None, 4, 5),
        (40.0, 4, 10),
        (41.0, 4, 11),
        (0.2, 4, 1),
        (600.0, 1, 30),
        (40.0, 10**9, 1),
    ],
)
def test_it_may_try_again_when_a_slot_is_free(answer_seconds: float | None, slots: int, seconds: int) -> None:
    """Four answers of 40 s end 10 s apart. Clients take at most 30 s for an answer."""
    assert retry_seconds(answer_seconds, slots) == seconds
