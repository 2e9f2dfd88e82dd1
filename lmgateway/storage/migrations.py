"""The migrations: the steps from an empty database to the current schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import ConfigError
from . import legacy_state_file


def _active_models(connection: sqlite3.Connection, folder: Path) -> None:
    # The import is in the transaction that creates the table, so that it happens exactly once.
    saved = legacy_state_file.read(folder)
    connection.execute(
        "CREATE TABLE active_models (kind TEXT PRIMARY KEY, model TEXT NOT NULL) WITHOUT ROWID"
    )
    for kind, model in (("llm", saved.active_model), ("embedding", saved.active_embedding_model)):
        if model is not None:
            connection.execute(
                "INSERT INTO active_models VALUES (?, ?)", (kind, msgspec.json.encode(model).decode())
            )


def _keys(connection: sqlite3.Connection, _folder: Path) -> None:
    # The JSON of a key, and the Unix time of its last use, which changes more often.
    connection.execute(
        "CREATE TABLE keys (name TEXT PRIMARY KEY, key TEXT NOT NULL, used REAL) WITHOUT ROWID"
    )


def _usage(connection: sqlite3.Connection, _folder: Path) -> None:
    # `hour` is the Unix second at which a local hour began.
    connection.execute(
        "CREATE TABLE usage ("
        "hour INTEGER NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL, box TEXT NOT NULL,"
        " requests INTEGER NOT NULL, errors INTEGER NOT NULL, refused INTEGER NOT NULL,"
        " prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,"
        " reasoning_tokens INTEGER NOT NULL, gpu_ms INTEGER NOT NULL, wait_ms INTEGER NOT NULL,"
        " untold INTEGER NOT NULL, PRIMARY KEY (hour, key, model, box)) WITHOUT ROWID"
    )


def _response_ids(connection: sqlite3.Connection, _folder: Path) -> None:
    # In the order in which they were received. The ids themselves aren't stored, only their digests.
    connection.execute(
        "CREATE TABLE response_ids (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE,"
        " key TEXT NOT NULL, box TEXT NOT NULL)"
    )


def _residency(connection: sqlite3.Connection, _folder: Path) -> None:
    # The instances that the gateway has loaded, with LM Studio's reference of each if it is known.
    connection.execute(
        "CREATE TABLE loaded_instances (box TEXT NOT NULL, identifier TEXT NOT NULL, model TEXT NOT NULL,"
        " origin TEXT NOT NULL, load_seconds REAL NOT NULL, reference TEXT,"
        " PRIMARY KEY (box, identifier)) WITHOUT ROWID"
    )
    # The JSON of the settings that each model was last loaded with, in the order of the loads.
    connection.execute(
        "CREATE TABLE load_settings (number INTEGER PRIMARY KEY, model TEXT NOT NULL UNIQUE,"
        " settings TEXT NOT NULL)"
    )


def _known_models(connection: sqlite3.Connection, _folder: Path) -> None:
    # The bodies of each box's lists of models, in the order in which they were saved.
    connection.execute(
        "CREATE TABLE known_models (number INTEGER PRIMARY KEY, box TEXT NOT NULL, path TEXT NOT NULL,"
        " body BLOB NOT NULL, UNIQUE (box, path))"
    )


# `PRAGMA user_version` counts the migrations that a database has had. A released migration is never changed:
# every change of the schema is a new one at the end.
MIGRATIONS: tuple[Callable[[sqlite3.Connection, Path], None], ...] = (
    _active_models,
    _keys,
    _usage,
    _response_ids,
    _residency,
    _known_models,
)


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Run the migrations that this database hasn't had, each in a transaction of its own.

    Raises ConfigError for a newer schema, sqlite3.Error.
    """
    while check_version(connection, folder) < len(MIGRATIONS):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Checked again under the lock: another process may have migrated in between.
            version = check_version(connection, folder)
            if version < len(MIGRATIONS):
                MIGRATIONS[version](connection, folder)
                connection.execute(f"PRAGMA user_version = {version + 1}")


def check_version(connection: sqlite3.Connection, folder: Path) -> int:
    """Return the schema's version. Raises ConfigError if it is newer than this program, sqlite3.Error."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        problem = (
            f"The database in {folder} is of a newer lmgateway: its schema is version {version}, and this "
            f"one supports {len(MIGRATIONS)}. Run the newer one, or set server.state_dir to another folder."
        )
        raise ConfigError([problem])
    return version
