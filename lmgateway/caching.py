"""Caching of pure functions of short texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

TEXTS = 1024
LONGEST = 128


def cached_for_short(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache a pure function's results for texts of up to 128 characters, at most 1,024 of them.

    Clients choose the texts, so both bounds limit the memory that they can fill. Exceptions aren't cached.
    """
    lookup = lru_cache(TEXTS)(function)

    @wraps(function)
    def cached(text: str) -> T:
        return lookup(text) if len(text) <= LONGEST else function(text)

    return cached
