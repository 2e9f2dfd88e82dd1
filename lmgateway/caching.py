"""What is found out once, for texts that come again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

TEXTS = 1024
LONGEST = 128


def cached_for_short(function: Callable[[str], T]) -> Callable[[str], T]:
    """Let a pure function of a text answer from memory, unless the text is long.

    Strangers choose the texts: 1,024 of 128 characters are all that they can fill the memory with. What is
    raised isn't kept.
    """
    remembered = lru_cache(TEXTS)(function)

    @wraps(function)
    def cached(text: str) -> T:
        return remembered(text) if len(text) <= LONGEST else function(text)

    return cached
