"""Connections to the database's file: one for writing, or a copy in memory if it can't be written."""

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

# How long to wait for a lock that another program holds, such as a backup.
BUSY_SECONDS = 5
# The files that SQLite keeps beside a database.
_COMPANIONS = ("-wal", "-shm", "-journal")
# How the name of a malformed file ends.
_RENAMED = ".broken"
_MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Malformed(Exception):
    """The file isn't a database, or is a damaged one; the message is SQLite's finding."""


def open_for_writing(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Return a connection in autocommit mode to the database, which is created if it doesn't exist.

    A malformed file is renamed first. Raises ConfigError for a newer schema, OSError, sqlite3.Error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Other errors occur again below. One doesn't: that of a hot journal, which is rolled back there.
    with suppress(FileNotFoundError, sqlite3.Error):
        try:
            examine(path)
        except Malformed as exc:
            _rename_malformed(path, exc)
    # Created here, for its mode, which SQLite copies to the files beside it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        check_version(connection, path.parent)
        # A commit is on the disk when it returns. Below FULL a power cut could lose the last commits; below
        # EXTRA it could where the file system doesn't support a WAL. fullfsync flushes the drive's cache on
        # macOS.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        migrate(connection, path.parent)
    except BaseException:
        connection.close()
        raise
    legacy_state_file.retire(path.parent)
    return connection


def copy_in_memory(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Return a read-only copy of the database in memory, empty if there is no file.

    An unreadable file leaves it empty too, with a warning; the second value is true then. Raises ConfigError
    for a newer schema.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    is_unreadable = False
    try:
        try:
            if path.exists():
                examine(path, immutable=is_at_rest(path), copy=connection)
        except (OSError, sqlite3.Error, Malformed) as exc:
            is_unreadable = True
            logger.warning("%s can't be read, so the gateway starts without its saved state: %s", path, exc)
        migrate(connection, path.parent)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection, is_unreadable


def renamed(path: Path) -> list[Path]:
    """Return the malformed files of this database that were renamed, and are still in the folder."""
    return sorted(path.parent.glob(f"{path.name}.*{_RENAMED}"))


def examine(path: Path, *, immutable: bool = False, copy: sqlite3.Connection | None = None) -> None:
    """Check the whole database without changing it, and copy it to `copy` if it is sound.

    An `immutable` database, which must be at rest, is read without creating files beside it. Raises
    Malformed, ConfigError for a newer schema, FileNotFoundError, sqlite3.Error.
    """
    path.stat()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    # Read-only, because closing a writable connection would checkpoint the WAL into the database.
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
    """True if the WAL is empty or absent: the database's file has all that was written."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except FileNotFoundError:
        return True


def _rename_malformed(path: Path, why: Malformed) -> None:
    renamed = path.with_name(f"{path.name}.{time.time_ns()}{_RENAMED}")
    # The database last: if the process is killed before, the next start renames the rest.
    for suffix in (*_COMPANIONS, ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(renamed.with_name(renamed.name + suffix))
    logger.warning("%s is damaged (%s) and was renamed to %s", path, why, renamed.name)
