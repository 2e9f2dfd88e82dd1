"""The named keys in the database."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from .database import Database
from .database_file import copy_in_memory, renamed

# In Unix seconds, in the year 5138.
_LATEST = 1e11

logger = logging.getLogger(__name__)


class SavedKey(NamedTuple):
    """A key's JSON, which has no secret, only its hash; `used` is the Unix time of its last use."""

    name: str
    key: bytes
    used: float | None


class SavedKeys:
    """The table of named keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> list[SavedKey] | None:
        """Return all keys, None if there may be keys that can't be read.

        That is so while a damaged database lies in the folder, and no key was made since it was renamed.
        """
        try:
            rows = await self._database.read(_rows)
        except sqlite3.Error as exc:
            logger.warning("the keys can't be read from the database: %s", exc)
            return None
        return None if not rows and self._database.is_incomplete else rows

    async def save(self, name: str, key: str) -> None:
        """Save a new or changed key. If it raises StateNotSaved, nothing has changed."""

        def upsert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO keys (name, key) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET key = excluded.key",
                (name, key),
            )

        await self._database.write(upsert)

    async def delete(self, name: str) -> None:
        """Raises StateNotSaved."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM keys WHERE name = ?", (name,))
        )

    async def save_uses(self, times: Mapping[str, float]) -> None:
        """Save when these keys were used last, in Unix seconds. Raises StateNotSaved."""
        rows = [(at, name) for name, at in times.items()]
        await self._database.write(
            lambda connection: connection.executemany("UPDATE keys SET used = ? WHERE name = ?", rows)
        )


def read_saved(path: Path) -> list[SavedKey] | None:
    """Return the keys in a database's file, which isn't changed; None as `SavedKeys.load`.

    Raises ConfigError for a newer schema.
    """
    connection, is_unreadable = copy_in_memory(path)
    with closing(connection):
        rows = _rows(connection)
    return None if not rows and (is_unreadable or renamed(path)) else rows


def _rows(connection: sqlite3.Connection) -> list[SavedKey]:
    # As bytes: sqlite3 fails for all rows if the text of one isn't UTF-8.
    rows = connection.execute("SELECT CAST(name AS BLOB), CAST(key AS BLOB), used FROM keys")
    return [
        SavedKey(
            name.decode("utf-8", "replace"),
            key,
            used if isinstance(used, float) and 0 <= used < _LATEST else None,
        )
        for name, key, used in rows
    ]
