"""What is remembered across restarts, in a file that is always the old one or the new one."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct
from platformdirs import user_state_path

from ..errors import StateNotSaved
from ..schema.models import ActiveModels

logger = logging.getLogger(__name__)

VERSION = 1
FILE_NAME = "state.json"
PREVIOUS_NAME = "state.previous.json"


class _Saved(Struct, frozen=True, kw_only=True):
    version: int
    active: ActiveModels


def state_directory(configured: str) -> Path:
    """Return the folder to remember things in: the configured one, the platform's own if that is empty."""
    return Path(configured) if configured else user_state_path("lmgateway", appauthor=False)


def why_unwritable(folder: Path) -> str | None:
    """Return why nothing can be written there, if so; a folder that isn't there is not made."""
    # Not path.exists(), which raises where a folder above may not be entered.
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    try:
        # Permissions tell half of it: a file system may be read-only, or full.
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError as exc:
        return os.strerror(exc.errno) if exc.errno else str(exc)


class StateFile:
    """Keeps the active models in `state_directory(directory)`.

    A save writes a new file beside the old one, makes sure that it is on the disk, and puts it in the old
    one's place in one step, so that the power may fail at any moment. The one before is kept as well.
    """

    def __init__(self, directory: str) -> None:
        self._directory = state_directory(directory)
        self._saving = asyncio.Lock()

    def load(self) -> ActiveModels:
        """Return what was saved last. A file that makes no sense is set aside, with a warning.

        A folder in which nothing can be saved is warned of, before somebody relies on it.
        """
        reason = why_unwritable(self._directory)
        if reason is not None:
            logger.warning("the active models can't be remembered in %s: %s", self._directory, reason)
        for name in (FILE_NAME, PREVIOUS_NAME):
            found = self._read(self._directory / name)
            if found is not None:
                return found
        return ActiveModels()

    def _read(self, path: Path) -> ActiveModels | None:
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
            if saved.version > VERSION:
                raise msgspec.ValidationError(f"version {saved.version} is newer than this gateway")
        except FileNotFoundError:
            return None
        except OSError as exc:
            logger.warning("%s can't be read, so the active models are forgotten: %s", path, exc.strerror)
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            aside = path.with_suffix(f".{time.time_ns()}.broken")
            logger.warning("%s makes no sense (%s) and is set aside as %s", path, exc, aside.name)
            try:
                path.rename(aside)
            except OSError as failed:
                logger.warning("%s can't be renamed: %s", path, failed.strerror)
            return None
        return saved.active

    async def save(self, active: ActiveModels) -> None:
        """Remember these. Raises StateNotSaved, and then the old ones are still there."""
        data = msgspec.json.encode(_Saved(version=VERSION, active=active))
        async with self._saving:
            # A disk may take its time, and nobody else should wait for it.
            writing = asyncio.create_task(asyncio.to_thread(self._write, data))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # The thread writes on; the next save must not write the same file beside it.
                await asyncio.wait([writing])
                raise
            except OSError as exc:
                logger.warning("the state can't be saved in %s: %s", self._directory, exc.strerror)
                raise StateNotSaved(
                    f"The state can't be saved in {self._directory} ({exc.strerror}): what is active stays "
                    "as it was. Make the folder writable, or set server.state_dir."
                ) from exc

    def _write(self, data: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path, previous = self._directory / FILE_NAME, self._directory / PREVIOUS_NAME
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            kept = previous.with_suffix(".new")
            shutil.copyfile(path, kept)
            kept.replace(previous)
        fresh.replace(path)
        _sync_directory(self._directory)


def _sync_directory(directory: Path) -> None:
    """Make the renames in a folder last. Windows has no such thing, and needs none."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
