"""The ledger's rows in the database."""

# ruff: noqa: S608 - only names of columns are put into the SQL; values are parameters

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from ..observe.usage import COUNTS, Counts, UsageRow
from .database import Database

Dimension = Literal["month", "day", "hour", "key", "model", "box"]
Unsaved = Mapping[UsageRow, Counts]

_FIELDS = (*UsageRow._fields, *COUNTS)
_COLUMNS = ", ".join(_FIELDS)
_UPSERT = (
    f"INSERT INTO usage ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"
    f" ON CONFLICT ({', '.join(UsageRow._fields)}) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
)
# The rows in the database and those that aren't written yet, which are a parameter, as JSON.
_JSON_COLUMNS = ", ".join(
    f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(_FIELDS)
)
_ROWS = f"(SELECT {_COLUMNS} FROM usage UNION ALL SELECT {_JSON_COLUMNS} FROM json_each(:unsaved))"
_BETWEEN = "WHERE hour >= :since AND hour < :until"
_SUMS = ", ".join(f"coalesce(sum({name}), 0)" for name in COUNTS)
_EXPRESSIONS: Mapping[Dimension, str] = {
    "month": "strftime('%Y-%m', hour, 'unixepoch', 'localtime')",
    "day": "strftime('%Y-%m-%d', hour, 'unixepoch', 'localtime')",
    "hour": "hour",
    "key": "key",
    "model": "model",
    "box": "box",
}


class Sum(NamedTuple):
    """The counts of all rows that have these values of the dimensions that were asked for."""

    values: tuple[str | int, ...]
    counts: Counts


class SavedUsage:
    """The table of counts, with a row for each local hour, key, model and box."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Unsaved) -> None:
        """Add these counts to those in the table. If it raises StateNotSaved, nothing has changed."""
        values = [(*row, *counts.values()) for row, counts in rows.items()]
        await self._database.write(lambda connection: connection.executemany(_UPSERT, values))

    async def sums(
        self, by: Sequence[Dimension], since: int, until: int, unsaved: Unsaved, *, limit: int
    ) -> list[Sum]:
        """Return the sums of all hours that begin from `since` until before `until`, sorted, at most `limit`.

        `unsaved` counts as if it were in the table. Without a dimension it is one sum, if there is any row.
        """
        groups = ", ".join(_EXPRESSIONS[name] for name in by) or "NULL"
        width = len(by) or 1
        query = (
            f"SELECT {groups}, {_SUMS} FROM {_ROWS} {_BETWEEN}"
            f" GROUP BY {groups} ORDER BY {groups} LIMIT :limit"
        )
        rows = await self._select(query, since, until, unsaved, limit=limit)
        return [Sum(row[: len(by)], Counts(*row[width:])) for row in rows]

    async def total(self, since: int, until: int, unsaved: Unsaved) -> Counts:
        """Return the sum of all of it."""
        (row,) = await self._select(f"SELECT {_SUMS} FROM {_ROWS} {_BETWEEN}", since, until, unsaved)
        return Counts(*row)

    async def _select(
        self, query: str, since: int, until: int, unsaved: Unsaved, *, limit: int = 1
    ) -> list[tuple[int, ...]]:
        values = [(*row, *counts.values()) for row, counts in unsaved.items()]
        parameters = {
            "since": since,
            "until": until,
            "limit": limit,
            "unsaved": msgspec.json.encode(values).decode(),
        }
        return await self._database.read(lambda connection: connection.execute(query, parameters).fetchall())

    async def delete_before(self, hour: int) -> None:
        """Delete the rows of earlier hours. Raises StateNotSaved."""
        query = "FROM usage WHERE hour < ?"
        if await self._database.read(
            lambda connection: connection.execute(f"SELECT 1 {query} LIMIT 1", (hour,)).fetchone()
        ):
            await self._database.write(lambda connection: connection.execute(f"DELETE {query}", (hour,)))
