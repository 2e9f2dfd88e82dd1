"""The lists of models that each box sent last, over restarts: a box that sleeps can't be asked."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping

from .background_saves import BackgroundSaves
from .database import Database

logger = logging.getLogger(__name__)

# As long as the lists that are read from LM Studio may be. A longer one isn't stored.
MAX_BODY_BYTES = 4 * 1024**2
# Boxes that are no longer configured count too, because they may come back. Those with the oldest lists are
# deleted.
MAX_BOXES = 100

Bodies = Mapping[str, bytes]
"""The bodies of a box's lists, by the path that each was sent for."""


class SavedKnownModels:
    """The table of these lists."""

    def __init__(self, database: Database, *, max_boxes: int = MAX_BOXES) -> None:
        self._database = database
        self._max_boxes = max_boxes

    async def load(self, boxes: Iterable[str]) -> dict[str, Bodies]:
        """Return the lists of those of the boxes that have some. Raises sqlite3.Error."""
        names = tuple(boxes)
        return await self._database.read(lambda connection: _rows(connection, names))

    async def save(self, changes: Mapping[str, Bodies]) -> None:
        """Replace all lists of each of the boxes, in one transaction. Raises StateNotSaved."""
        rows = [
            (box, path, body)
            for box, bodies in changes.items()
            for path, body in bodies.items()
            if len(body) <= MAX_BODY_BYTES
        ]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM known_models WHERE box = ?", [(box,) for box in changes])
            # The new rows get the highest numbers.
            connection.executemany("INSERT INTO known_models (box, path, body) VALUES (?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM known_models WHERE box NOT IN (SELECT box FROM known_models"
                " GROUP BY box ORDER BY max(number) DESC LIMIT ?)",
                (self._max_boxes,),
            )

        await self._database.write(write)


class KnownModels:
    """The owner of the lists that aren't saved yet, which BackgroundSaves saves."""

    def __init__(self, saved: SavedKnownModels) -> None:
        self._saved = saved
        self._unsaved: dict[str, Bodies] = {}
        self._saves = BackgroundSaves(self._take, saved.save, self._put_back)

    async def restore(self, boxes: Iterable[str]) -> dict[str, Bodies]:
        """Return what was saved of these boxes, by name. Raises sqlite3.Error."""
        return await self._saved.load(boxes)

    def put(self, box: str, bodies: Bodies) -> None:
        """Record a box's lists, which have changed. They replace all that it sent before."""
        self._unsaved[box] = bodies
        self._saves.soon()

    async def close(self) -> None:
        """Save what isn't saved yet. Nothing may change afterwards."""
        await self._saves.close()

    def _take(self) -> dict[str, Bodies] | None:
        changes, self._unsaved = self._unsaved, {}
        return changes or None

    def _put_back(self, changes: dict[str, Bodies]) -> None:
        self._unsaved = {**changes, **self._unsaved}


def _rows(connection: sqlite3.Connection, boxes: Iterable[str]) -> dict[str, Bodies]:
    found = {box: _bodies(connection, box) for box in boxes}
    return {box: bodies for box, bodies in found.items() if bodies}


def _bodies(connection: sqlite3.Connection, box: str) -> Bodies:
    # The path as bytes: sqlite3 fails for all rows if the text of one isn't UTF-8.
    rows = connection.execute(
        "SELECT CAST(path AS BLOB), CAST(body AS BLOB) FROM known_models"
        " WHERE box = ? AND length(CAST(body AS BLOB)) <= ?",
        (box, MAX_BODY_BYTES),
    )
    bodies: dict[str, bytes] = {}
    for path, body in rows:
        try:
            bodies[path.decode()] = body
        except UnicodeDecodeError as exc:
            logger.warning("a saved list of models can't be decoded, so it is ignored: %s", exc)
    return bodies
