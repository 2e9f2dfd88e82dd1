"""Repairs the numbers and texts that LM Studio sends, where they are read.

JSON can hold what nothing behind it can use: numbers of any size, halves of characters, endless texts. Each
bound is far above what any machine reports. A value that isn't plausible is None (unknown), never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from .text import NAME_CHARACTERS, bounded, repaired

T = TypeVar("T")

# Tokens: a hundred times the longest context. Sums of millions of them are exact in a double.
MAX_COUNT = 10**9
MAX_BYTES = 10**15
MAX_SECONDS = 10.0**7
MAX_MILLISECONDS = 10**13
MAX_PER_SECOND = 10.0**6
# RFC 8259 section 6: every JSON parser agrees on whole numbers up to this one.
MAX_EXACT = 2**53 - 1
PATH_CHARACTERS = 1024
# A progress is a quotient of two counts, which rounding can bring above 1.
_MOST_OF_ALL = 1.01
_DEPTH = 4
_MEMBERS = 100
# A longer number is out of every bound; int() and float() take time for its digits.
_DIGITS = 40


def whole(value: object, least: int = -MAX_EXACT, most: int = MAX_EXACT) -> int | None:
    """Return a whole number within the bounds. 7.0 is one; True and "7" aren't numbers."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and least <= value <= most else None


def count(value: object, most: int = MAX_COUNT) -> int | None:
    """Return a number of things, by default of tokens."""
    return whole(value, 0, most)


def number(value: object, most: float) -> float | None:
    """Return a number from 0 to `most`."""
    # Comparing is exact for an int of any size, and False for NaN.
    return float(value) if type(value) in {int, float} and 0 <= value <= most else None  # type: ignore[arg-type,operator]


def seconds(value: object) -> float | None:
    return number(value, MAX_SECONDS)


def per_second(value: object) -> float | None:
    """Return a speed in tokens per second."""
    return number(value, MAX_PER_SECOND)


def fraction(value: object) -> float | None:
    """Return a share from 0 to 1, such as a progress."""
    share = number(value, _MOST_OF_ALL)
    return None if share is None else min(share, 1.0)


def flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def text(value: object, most: int = NAME_CHARACTERS) -> str | None:
    """Return a text of at most so many characters, with U+FFFD for each lone surrogate, which isn't UTF-8."""
    if not isinstance(value, str):
        return None
    return repaired(bounded(value, most))


def plain(value: object, *, depth: int = _DEPTH) -> object:
    """Return JSON data with at most so many levels and 100 members in each, and every value repaired."""
    match value:
        case bool() | None:
            return value
        case int():
            return whole(value)
        case float():
            return value if math.isfinite(value) else None
        case str():
            return text(value)
        case Mapping() if depth:
            members = [(text(name), member) for name, member in list(value.items())[:_MEMBERS]]
            return {name: plain(member, depth=depth - 1) for name, member in members if name is not None}
        case list() | tuple() if depth:
            return [plain(member, depth=depth - 1) for member in value[:_MEMBERS]]
    return None


def parse_json(document: str) -> object:
    """Return the document's data, with NaN for each number that is too large, which no bound lets pass.

    Python's own parser raises on a number of 4,300 digits. Raises ValueError, RecursionError.
    """
    return json.loads(document, parse_int=_int, parse_float=_float, parse_constant=lambda _: math.nan)


def decoded(data: bytes | msgspec.Raw, kind: type[T]) -> T | None:
    """Return JSON data as this type, None if it is malformed or another type's."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def parse_number(digits: bytes) -> int | float | None:
    """Return the number that is spelled in JSON, None for any other JSON, or a number that is too large."""
    try:
        value = _int(digits.decode("ascii"))
    except ValueError:
        try:
            value = _float(digits.decode("ascii"))
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def _int(digits: str) -> float:
    return int(digits) if len(digits) <= _DIGITS else math.nan


def _float(digits: str) -> float:
    return float(digits) if len(digits) <= _DIGITS else math.nan
