"""The ids of responses in the database, with the key that got each one and its box."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from .database import Database

# How many are stored; the oldest are deleted.
MAX_IDS = 100_000


class Owner(NamedTuple):
    """The name of the key whose request got a response, and the box that has it, "" if none has any more."""

    key: str
    box: str


class SavedResponseIds:
    """The table of response ids, of which only a digest is stored."""

    def __init__(self, database: Database, *, max_ids: int = MAX_IDS) -> None:
        self._database = database
        self.max_ids = max_ids

    async def load(self) -> dict[bytes, Owner]:
        """Return the owners by the ids' digests, the oldest first. Raises sqlite3.Error."""
        return await self._database.read(_rows)

    async def save(self, owners: Sequence[tuple[bytes, Owner]]) -> None:
        """Save a batch, and delete the oldest. Raises StateNotSaved."""

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO response_ids (digest, key, box) VALUES (?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET box = excluded.box WHERE key = excluded.key",
                [(digest, *owner) for digest, owner in owners],
            )
            connection.execute(
                "DELETE FROM response_ids WHERE number <= (SELECT max(number) FROM response_ids) - ?",
                (self.max_ids,),
            )

        await self._database.write(insert)


def _rows(connection: sqlite3.Connection) -> dict[bytes, Owner]:
    # One Owner for all ids of a key and a box.
    owners: dict[Owner, Owner] = {}
    rows = connection.execute("SELECT digest, key, box FROM response_ids ORDER BY number")
    return {digest: owners.setdefault(owner, owner) for digest, *named in rows for owner in [Owner(*named)]}
