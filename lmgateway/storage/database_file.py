"""Connections to the database's file: one to write it, or a copy in memory of one that can't be written."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from . import legacy_state_file
from .migrations import check_version, migrate

logger = logging.getLogger(__name__)

# How long a lock that another program holds (a backup, say) is waited for.
BUSY_SECONDS = 5
# What SQLite puts beside a database.
_COMPANIONS = ("-wal", "-shm", "-journal")
_MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Malformed(Exception):
    """The file is no database, or a damaged one; the message says how that shows."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode to the database, which is made if it isn't there.

    One that is malformed is set aside. Raises ConfigError for a newer one, OSError, sqlite3.Error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Other errors are met again below, except that of a journal that has to be undone first.
    with suppress(FileNotFoundError, sqlite3.Error):
        try:
            examine(path)
        except Malformed as exc:
            _set_aside(path, exc)
    # Made here for its mode, which SQLite gives to the files beside it as well.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        check_version(connection, path.parent)
        # A commit is on the disk when it returns. With less than FULL a power cut takes back the last ones,
        # with less than EXTRA those on file systems where SQLite can't have a WAL. fullfsync is for macOS,
        # where they would stay in the drive's cache.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        migrate(connection, path.parent)
    except BaseException:
        connection.close()
        raise
    legacy_state_file.retire(path.parent)
    return connection


def copy_in_memory(path: Path) -> sqlite3.Connection:
    """Return a copy of the database, empty if there is none, that refuses to be written.

    One that can't be read is left out, with a warning. Raises ConfigError for a newer one.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        try:
            if path.exists():
                examine(path, immutable=is_at_rest(path), copy=connection)
        except (OSError, sqlite3.Error, Malformed) as exc:
            logger.warning("%s can't be read, so the gateway starts without what it holds: %s", path, exc)
        migrate(connection, path.parent)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def examine(path: Path, *, immutable: bool = False, copy: sqlite3.Connection | None = None) -> None:
    """Read the whole database without changing it, and copy it if it is sound and can be used.

    An `immutable` one, which must be at rest, is read without making files beside it. Raises Malformed,
    ConfigError for a newer one, FileNotFoundError, sqlite3.Error.
    """
    path.stat()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    # A connection that could write would move the WAL into the database when it is closed.
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        try:
            check_version(connection, path.parent)
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as exc:
            if exc.sqlite_errorcode & 0xFF not in _MALFORMED:  # the low byte is the kind of error
                raise
            raise Malformed(str(exc)) from exc
        if verdict != "ok":
            raise Malformed(verdict)
        if copy is not None:
            connection.backup(copy)


def is_at_rest(path: Path) -> bool:
    """True if all of the database is in its own file: nothing was written since it was last closed."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except FileNotFoundError:
        return True


def _set_aside(path: Path, why: Malformed) -> None:
    aside = path.with_name(f"{path.name}.{time.time_ns()}.broken")
    # The database last: a process that is killed before begins here again.
    for suffix in (*_COMPANIONS, ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    logger.warning("%s can't be used (%s) and is set aside as %s", path, why, aside.name)
