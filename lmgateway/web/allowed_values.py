"""The numbers and flags that a field's type allows, in words for a client that sent something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

_NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}


def in_words(kind: Any) -> str | None:
    """Return such as `a whole number of at least 1`; None if the type allows neither numbers nor flags."""
    return " or ".join(_each(kind, ())) or None


def _each(kind: Any, metas: Sequence[msgspec.Meta]) -> Iterator[str]:
    if get_origin(kind) is Annotated:
        base, *more = get_args(kind)
        yield from _each(base, [*metas, *more])
    elif get_origin(kind) in {Union, UnionType}:
        for part in get_args(kind):
            yield from _each(part, metas)
    elif kind is bool:
        yield "true or false"
    elif kind in _NUMBERS:
        yield _NUMBERS[kind] + _range(metas, whole=kind is int)


def _range(metas: Sequence[msgspec.Meta], *, whole: bool) -> str:
    lows = [meta.ge for meta in metas if meta.ge is not None]
    above = [meta.gt for meta in metas if meta.gt is not None]
    if whole:  # above 0 is from 1 on
        lows, above = [*lows, *(bound + 1 for bound in above)], []
    low, high = max(lows, default=-inf), min((meta.le for meta in metas if meta.le is not None), default=inf)
    if low > -inf and high < inf:
        return f" from {low:g} to {high:g}"
    if low > -inf:
        return f" of at least {low:g}"
    if high < inf:
        return f" of at most {high:g}"
    return f" above {max(above):g}" if above else ""
