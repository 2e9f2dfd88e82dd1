"""The instances that the gateway has loaded, and the settings of each model's last load, in the database."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from ..schema.models import LoadConfig
from ..untrusted import MAX_SECONDS
from .database import Database

logger = logging.getLogger(__name__)

# How many models' settings are stored; those of the oldest loads are deleted.
MAX_SETTINGS = 1000

OwnOrigin = Literal["on-demand", "loaded"]
"""Why the gateway has loaded an instance: for a request, or because somebody asked for it."""

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError)


class BoxInstance(NamedTuple):
    """The name of a box, and of an instance in its LM Studio."""

    box: str
    identifier: str


class SavedOrigin(Struct, frozen=True):
    """An instance's model key, its origin, how long its load took, and LM Studio's reference of it.

    The reference, None if it is unknown, differs from that of a later instance with the same identifier.
    """

    model: str
    origin: OwnOrigin
    load_seconds: Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
    reference: str | None = None


class ResidencyRows(NamedTuple):
    """Instances, and settings by model key, the oldest load first. A change with None deletes the row."""

    instances: Mapping[BoxInstance, SavedOrigin | None]
    settings: Mapping[str, LoadConfig]


class SavedResidency:
    """The tables of loaded instances and of load settings."""

    def __init__(self, database: Database, *, max_settings: int = MAX_SETTINGS) -> None:
        self._database = database
        self.max_settings = max_settings

    async def load(self) -> ResidencyRows:
        """Return all rows. One that can't be decoded is skipped, with a warning. Raises sqlite3.Error."""
        instances, settings = await self._database.read(_rows)
        return ResidencyRows(_instances(instances), _settings(settings))

    async def save(self, changes: ResidencyRows) -> None:
        """Make the changes in one transaction, and delete the oldest settings. Raises StateNotSaved."""
        kept = [(*name, *_columns(row)) for name, row in changes.instances.items() if row is not None]
        deleted = [name for name, row in changes.instances.items() if row is None]
        settings = [(model, msgspec.json.encode(each).decode()) for model, each in changes.settings.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM loaded_instances WHERE box = ? AND identifier = ?", map(tuple, deleted)
            )
            connection.executemany("INSERT OR REPLACE INTO loaded_instances VALUES (?, ?, ?, ?, ?, ?)", kept)
            # The new row gets the highest number.
            connection.executemany(
                "INSERT OR REPLACE INTO load_settings (model, settings) VALUES (?, ?)", settings
            )
            connection.execute(
                "DELETE FROM load_settings WHERE number <="
                " (SELECT number FROM load_settings ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self.max_settings,),
            )

        await self._database.write(write)


def _columns(row: SavedOrigin) -> tuple[str, str, float, str | None]:
    return row.model, row.origin, row.load_seconds, row.reference


def _rows(connection: sqlite3.Connection) -> tuple[list[tuple[bytes, ...]], list[tuple[bytes, bytes]]]:
    # As bytes: sqlite3 fails for all rows if the text of one isn't UTF-8.
    instances = connection.execute(
        "SELECT CAST(box AS BLOB), CAST(identifier AS BLOB), CAST(model AS BLOB), CAST(origin AS BLOB),"
        " load_seconds, CAST(reference AS BLOB) FROM loaded_instances"
    )
    settings = connection.execute(
        "SELECT CAST(model AS BLOB), CAST(settings AS BLOB) FROM load_settings ORDER BY number"
    )
    return instances.fetchall(), settings.fetchall()


def _instances(rows: Iterable[tuple[object, ...]]) -> dict[BoxInstance, SavedOrigin]:
    instances = {}
    for row in rows:
        try:
            box, identifier, *columns = (one.decode() if isinstance(one, bytes) else one for one in row)
            name = msgspec.convert((box, identifier), BoxInstance)
            named = dict(zip(SavedOrigin.__struct_fields__, columns, strict=True))
            instances[name] = msgspec.convert(named, SavedOrigin)
        except _UNDECODABLE as exc:
            logger.warning("a saved instance can't be decoded, so it isn't the gateway's any more: %s", exc)
    return instances


def _settings(rows: Iterable[tuple[bytes, bytes]]) -> dict[str, LoadConfig]:
    settings = {}
    for model, config in rows:
        try:
            settings[model.decode()] = msgspec.json.decode(config, type=LoadConfig)
        except _UNDECODABLE as exc:
            logger.warning("the saved load settings of a model can't be decoded: %s", exc)
    return settings
