"""Answers from memory, within limits."""

from __future__ import annotations

import pytest

from lmgateway.caching import LONGEST, TEXTS, cached_for_short


def test_short_texts_are_answered_from_memory_and_long_ones_anew() -> None:
    asked = []

    @cached_for_short
    def length(text: str) -> int:
        """Documented."""
        asked.append(len(text))
        return len(text)

    for text in ("a", "a", "b" * LONGEST, "b" * LONGEST, "c" * (LONGEST + 1), "c" * (LONGEST + 1)):
        assert length(text) == len(text)
    assert asked == [1, LONGEST, LONGEST + 1, LONGEST + 1]
    assert length.__doc__ == "Documented."


def test_memory_is_bounded_and_holds_no_mistake() -> None:
    asked = []

    @cached_for_short
    def number(text: str) -> int:
        asked.append(text)
        return int(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="invalid"):
            number("x")
    for value in range(TEXTS + 1):
        number(str(value))
    number("0")  # the oldest, and forgotten
    assert asked.count("0") == asked.count("x") == 2
