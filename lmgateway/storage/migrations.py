"""The schema of the database, as the steps that lead to it from an empty one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import ConfigError
from . import legacy_state_file


def _active_models(connection: sqlite3.Connection, folder: Path) -> None:
    # In the step that makes the table, so that it is done once, whenever the process is killed.
    saved = legacy_state_file.read(folder)
    connection.execute(
        "CREATE TABLE active_models (kind TEXT PRIMARY KEY, model TEXT NOT NULL) WITHOUT ROWID"
    )
    for kind, model in (("llm", saved.active_model), ("embedding", saved.active_embedding_model)):
        if model is not None:
            connection.execute(
                "INSERT INTO active_models VALUES (?, ?)", (kind, msgspec.json.encode(model).decode())
            )


# `PRAGMA user_version` counts how many of these a database has had. One that was released is never changed
# again: what comes later is another step at the end.
MIGRATIONS: tuple[Callable[[sqlite3.Connection, Path], None], ...] = (_active_models,)


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Take the steps that the database in this folder lacks, each in a transaction of its own.

    Raises ConfigError for a newer one, sqlite3.Error.
    """
    while check_version(connection, folder) < len(MIGRATIONS):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Again, because another process may have taken the step meanwhile.
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
            f"one knows {len(MIGRATIONS)}. Run the newer one, or set server.state_dir to another folder."
        )
        raise ConfigError([problem])
    return version
