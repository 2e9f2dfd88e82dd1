"""The SQLite database of persistent state, which only one thread uses."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .. import background
from ..errors import StateNotSaved
from .database_file import BUSY_SECONDS, copy_in_memory, open_for_writing, renamed
from .state_folder import why_unwritable
from .writer_thread import WriterThread

T = TypeVar("T")

logger = logging.getLogger(__name__)

FILE_NAME = "lmgateway.db"
_THEN_RESTART = "; then start the gateway again."


class Database:
    """Runs reads and transactions one at a time, in the order of the calls.

    They run on a thread of their own, so that the event loop never waits for the disk. If the database can't
    be opened for writing, reads work on a copy, and every write fails until the next start. `on_failure` is
    called if the thread has died and can't be started again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        on_failure: Callable[[BaseException], None] = background.raise_in_loop,
    ) -> None:
        self.path = folder / FILE_NAME
        self._busy_seconds = busy_seconds
        self.errors = 0
        # Whether an earlier database couldn't be read: it may have had anything.
        self.is_incomplete = False
        self._thread = WriterThread(begin=self._open, end=self._close, on_failure=on_failure)
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None
        self._unwritable: str | None = None

    async def open(self) -> None:
        """Open the database, and create it if it doesn't exist. Raises ConfigError for a newer schema."""
        await self._thread.start()

    async def close(self) -> None:
        """Close the database after all work that was submitted before."""
        await self._thread.stop()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which only reads, and return its result. Raises sqlite3.Error."""
        return await self._thread.run(lambda: work(self._open_connection()))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, and return its result once the commit is on the disk.

        If it raises StateNotSaved, nothing has changed. The transaction runs even if the caller is cancelled.
        """
        return await self._thread.run(lambda: self._write(work))

    def _open(self) -> None:
        try:
            self._connection = open_for_writing(self.path, self._busy_seconds)
            self._opened = self.path.stat()
            self._unwritable = None
        except (OSError, sqlite3.Error) as exc:
            # SQLite's own message would only be "unable to open database file".
            self._unwritable = why_unwritable(self.path.parent) or _reason(exc)
            logger.warning("the state can't be saved in %s: %s", self.path.parent, self._unwritable)
            self._connection, self.is_incomplete = copy_in_memory(self.path)
        self.is_incomplete |= bool(renamed(self.path))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the database isn't open")
        return self._connection

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._open_connection()
        if self._unwritable is not None:
            raise self._failure(self._unwritable, needs_restart=True)
        if not self._is_in_place():
            # SQLite would go on writing to a file that is no longer in the folder.
            raise self._failure(f"{FILE_NAME} was moved or deleted", needs_restart=True)
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)
        except sqlite3.Error as exc:
            raise self._failure(_reason(exc)) from exc

    def _is_in_place(self) -> bool:
        try:
            return self._opened is not None and os.path.samestat(self.path.stat(), self._opened)
        except OSError:
            return False

    def _failure(self, reason: str, *, needs_restart: bool = False) -> StateNotSaved:
        folder = self.path.parent
        self.errors += 1
        logger.warning("the state can't be saved in %s: %s", folder, reason)
        return StateNotSaved(
            f"The state can't be saved in {folder} ({reason}), so nothing was changed. Make the folder "
            "writable and free some disk space, or set server.state_dir"
            f"{_THEN_RESTART if needs_restart else '.'}"
        )


def _reason(exc: OSError | sqlite3.Error) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
