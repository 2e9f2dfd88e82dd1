"""The active models in the database."""

from __future__ import annotations

import logging
import sqlite3
from typing import get_args

import msgspec

from ..schema.common import ModelType
from ..schema.models import ActiveModel, ActiveModels
from .database import Database

logger = logging.getLogger(__name__)

_KINDS: tuple[ModelType, ...] = get_args(ModelType)


class SavedActiveModels:
    """The table of active models, with at most one row for each kind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> ActiveModels:
        """Return the saved models. A row that can't be decoded is skipped, with a warning."""
        active = ActiveModels()
        rows = await self._database.read(_rows)
        for kind in _KINDS:
            try:
                if kind in rows:
                    active = active.replacing(kind, msgspec.json.decode(rows[kind], type=ActiveModel))
            except msgspec.MsgspecError as exc:
                logger.warning("the saved active model (%s) can't be decoded: %s", kind, exc)
        return active

    async def save(self, active: ActiveModels) -> None:
        """Replace the saved models. If it raises StateNotSaved, the previous ones are still saved."""
        models = ((kind, active.of(kind)) for kind in _KINDS)
        rows = [(kind, msgspec.json.encode(model).decode()) for kind, model in models if model is not None]

        def replace(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM active_models")
            connection.executemany("INSERT INTO active_models VALUES (?, ?)", rows)

        await self._database.write(replace)


def _rows(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT kind, model FROM active_models"))
