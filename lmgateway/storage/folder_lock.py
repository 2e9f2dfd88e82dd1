"""The lock on a state folder, and who has it: two gateways would overwrite each other's state."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from ..errors import StateInUse
from .file_lock import try_lock

logger = logging.getLogger(__name__)

FILE_NAME = "lmgateway.lock"
POLL_SECONDS = 0.1
# For a holder that hasn't recorded yet that it is ending, because its SIGTERM was sent just now.
NOTICE_SECONDS = 2.0
# In addition to the drain: to break off what still runs then, and to close what is open.
CLOSE_SECONDS = 10.0
# Each record has this size, so that a shorter one replaces a longer one completely.
_RECORD_BYTES = 512
ANOTHER = "another process"
_BINARY = getattr(os, "O_BINARY", 0)
_Text = Annotated[str, Meta(pattern=r"^[\x20-\x7e]{0,128}\Z")]


class Holder(Struct, frozen=True, kw_only=True):
    """The process that has the lock. `since` is a timestamp; `ending`: it is draining its requests."""

    pid: int
    address: _Text
    since: _Text
    ending: bool = False

    def __str__(self) -> str:
        return f"process {self.pid}, which has served {self.address} since {self.since}"


class FolderLock:
    """The lock of this process, from acquire() to release()."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._descriptor: int | None = None
        self._holder: Holder | None = None

    async def acquire(
        self,
        holder: Holder,
        *,
        drain_seconds: float,
        stop: asyncio.Event,
        on_wait: Callable[[str, float], None],
    ) -> bool:
        """Lock the folder for `holder`. Where that isn't possible, log a warning and go on without.

        A holder that is ending is waited for, as long as its drain may take; `on_wait` is called once, with
        what is waited for and for how many seconds at most. Return False if `stop` is set meanwhile. Raises
        StateInUse.
        """
        loop = asyncio.get_running_loop()
        began, patience = loop.time(), drain_seconds + CLOSE_SECONDS
        for attempt in count(1):
            if self._try_to_lock():
                break
            other = _read(self._path)
            is_ending = other is None or other.ending
            if loop.time() - began >= (patience if is_ending else NOTICE_SECONDS):
                raise StateInUse(_in_use(self._folder, other, is_ending=is_ending))
            # Not at the first attempt: `doctor` may have the lock for a moment.
            if attempt == 2:
                on_wait(f"{self._folder} is in use by {other or ANOTHER}; waiting for its end", patience)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await stop.wait()
                    return False
        self._erase()
        self._write(holder)
        return True

    def mark_ending(self) -> None:
        """Record that this process is ending, so that the next one waits for it."""
        if self._holder is not None:
            self._write(structs.replace(self._holder, ending=True))

    def release(self) -> None:
        """Unlock the folder. The file stays: another process may just be locking it."""
        if self._descriptor is not None:
            self._erase()
            os.close(self._descriptor)
            self._descriptor = None

    def _try_to_lock(self) -> bool:
        """Return False if another process has the lock. If there can't be a lock, log why and return True."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        except OSError as exc:
            self._warn(exc)
            return True
        is_locked = False
        try:
            # The file may have been replaced since it was opened.
            is_locked = try_lock(descriptor) and os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False
        except OSError as exc:
            self._warn(exc)
            return True
        finally:
            if is_locked:
                self._descriptor = descriptor
            else:
                os.close(descriptor)
        return is_locked

    def _warn(self, exc: OSError) -> None:
        logger.warning(
            "%s can't be locked (%s), so a second gateway that uses it won't be noticed",
            self._folder,
            exc.strerror or exc,
        )

    def _erase(self) -> None:
        """Remove the record; there is room for this on a full disk too."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.truncate(self._descriptor, 0)

    def _write(self, holder: Holder) -> None:
        if self._descriptor is None:
            return
        self._holder = holder
        # The lock is in force without the record too, on a full disk for instance.
        with suppress(OSError):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, msgspec.json.encode(holder).ljust(_RECORD_BYTES))


def holder_of(folder: Path) -> Holder | str | None:
    """Return who has the lock of this folder; None if it is free, a text if the holder is unknown.

    Locks the file for a moment at most, and writes nothing. Raises OSError if it can't be locked.
    """
    path = folder / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | _BINARY)
    except FileNotFoundError:
        return None
    try:
        return None if try_lock(descriptor, shared=True) else _read(path) or ANOTHER
    finally:
        os.close(descriptor)


def _read(path: Path) -> Holder | None:
    """Return the record; None if there is none, or if it is just being written."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_RECORD_BYTES), type=Holder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _in_use(folder: Path, holder: Holder | None, *, is_ending: bool) -> str:
    who = ANOTHER if holder is None else f"another lmgateway ({holder})"
    too_slow = " and is still ending" if is_ending and holder is not None else ""
    return f"{folder} is in use by {who}{too_slow}. End it, or set server.state_dir to another folder."
