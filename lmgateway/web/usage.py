"""The handler of /admin/usage: who used what, as JSON or CSV."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, TypeVar, get_args

from aiohttp import web
from msgspec import Struct, structs
from multidict import MultiMapping

from ..errors import Mistake, ValidationFailed
from ..observe.clock import day_start, hour_start, iso_timestamp, parse_time, unix_time
from ..observe.usage import COUNTS
from ..schema.usage import UsageReport, UsageSum
from ..storage.usage import Dimension, Sum
from ..turns import Turns
from .responses import json_response
from .state import ACTIVITY, LEDGER, TURNS
from .validation import MAX_MISTAKES, suggestion

T = TypeVar("T")

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
FORMATS = ("json", "csv")
MAX_ROWS = 20_000
# So many rows are written in one turn of the event loop.
_TURN_ROWS = 250
_DEFAULT_BY: tuple[Dimension, ...] = ("day", "key")
_DEFAULT_DAYS = 7
_HOUR_SECONDS = 3600
_TIME = "Expected a date from 1970 to 2999, such as 2027-01-31, or ISO 8601 (write a + as %2B)"
_YEAR_3000 = 32_503_680_000
_COLUMNS = {info.name: info.encode_name for info in structs.fields(UsageSum)}
# How a cell begins that a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class UsageQuery(Struct, frozen=True):
    """`since` and `until` are Unix seconds at which local hours begin."""

    since: int
    until: int
    by: tuple[Dimension, ...]
    format: str


async def usage(request: web.Request) -> web.Response:
    app, query = request.app, parse_query(request.query, unix_time())
    app[ACTIVITY].flush()
    sums, total = await app[LEDGER].usage(query.by, query.since, query.until, limit=MAX_ROWS + 1)
    if len(sums) > MAX_ROWS:
        message = f"These are more than {MAX_ROWS:,} rows; name fewer dimensions, or less time"
        raise ValidationFailed("Validation failed", details=[Mistake(path="by", message=message)])
    if query.format == "csv":
        pieces = [csv_of(query.by, part) async for part in _in_turns(sums, app[TURNS])]
        return _csv_response(query, csv_head(query.by) + "".join(pieces))
    return json_response(
        UsageReport(
            since=iso_timestamp(query.since),
            until=iso_timestamp(query.until),
            by=query.by,
            rows=[_row(query.by, one) async for part in _in_turns(sums, app[TURNS]) for one in part],
            total=UsageSum(**structs.asdict(total)),
        )
    )


async def _in_turns(sums: Sequence[Sum], turns: Turns) -> AsyncIterator[Sequence[Sum]]:
    for start in range(0, len(sums), _TURN_ROWS):
        await turns.next()
        yield sums[start : start + _TURN_ROWS]


def parse_query(query: MultiMapping[str], now: float) -> UsageQuery:
    """Return what is asked for, in whole hours. Raises ValidationFailed with all mistakes."""
    details: list[Mistake] = []

    def read(name: str, parse: Callable[[str], T], default: T) -> T:
        given = query.getall(name, ())
        try:
            if len(given) > 1:
                raise ValueError("Given more than once")  # noqa: TRY301 - reported as the others
            return parse(given[0]) if given else default
        except ValueError as exc:
            details.append(Mistake(path=name, message=str(exc)))
            return default

    since = read("since", _time, float(day_start(now, _DEFAULT_DAYS - 1)))
    until = read("until", _time, now)
    by = read("by", _dimensions, _DEFAULT_BY)
    form = read("format", _format, FORMATS[0])
    if not details and since >= until:
        details.append(Mistake(path="until", message="Expected a time after `since`"))
    if details:
        raise ValidationFailed("Validation failed", details=details[:MAX_MISTAKES])
    return UsageQuery(hour_start(since), _hour_end(until), by, form)


def _time(text: str) -> float:
    try:
        seconds = parse_time(text)
    except ValueError as exc:
        raise ValueError(_TIME) from exc
    if not 0 <= seconds < _YEAR_3000:
        raise ValueError(_TIME)
    return seconds


def _hour_end(seconds: float) -> int:
    """Return when the next local hour begins, unless one begins now."""
    whole = math.ceil(seconds)
    start = hour_start(whole)
    return start if start == whole else hour_start(start + _HOUR_SECONDS)


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = dict.fromkeys(filter(None, map(str.strip, text.split(","))))
    for name in names:
        if name not in DIMENSIONS:
            raise ValueError(f"Unknown dimension; {suggestion(name, DIMENSIONS)}")
    return tuple(one for name in names for one in DIMENSIONS if one == name)


def _format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError(f"Expected {' or '.join(FORMATS)}")
    return text


def _values(by: Sequence[Dimension], one: Sum) -> dict[str, Any]:
    return {
        name: iso_timestamp(value) if isinstance(value, int) else value
        for name, value in zip(by, one.values, strict=True)
    }


def _row(by: Sequence[Dimension], one: Sum) -> UsageSum:
    return UsageSum(**_values(by, one), **structs.asdict(one.counts))


def _csv_response(query: UsageQuery, text: str) -> web.Response:
    days = (time.strftime("%Y-%m-%d", time.localtime(at)) for at in (query.since, query.until - 1))
    return web.Response(
        text=text,
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="usage-{"-to-".join(days)}.csv"'},
    )


def csv_head(by: Sequence[Dimension]) -> str:
    return _lines([(*by, *map(_COLUMNS.__getitem__, COUNTS))])


def csv_of(by: Sequence[Dimension], sums: Iterable[Sum]) -> str:
    """Return the sums as lines of CSV, without cells that a spreadsheet takes for a formula."""
    return _lines((*map(_safe, _values(by, one).values()), *one.counts.values()) for one in sums)


def _lines(rows: Iterable[Sequence[str | int]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # its default dialect is that of RFC 4180
    return text.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
