"""The JSON file in which the active models were saved before there was a database."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from ..schema.models import ActiveModels

logger = logging.getLogger(__name__)

VERSION = 1
# The newest first.
NAMES = ("state.json", "state.previous.json")


class _Saved(Struct, frozen=True, kw_only=True):
    version: int
    active: ActiveModels


def read(folder: Path) -> ActiveModels:
    """Return what was saved last. A file that can't be understood is set aside, with a warning."""
    for name in NAMES:
        saved = _read(folder / name)
        if saved is not None:
            return saved.active
    return ActiveModels()


def retire(folder: Path) -> None:
    """Rename the files, so that it shows that they aren't read any more."""
    for name in NAMES:
        path = folder / name
        try:
            with suppress(FileNotFoundError):
                path.replace(path.with_name(f"{name}.taken-over"))
        except OSError as exc:
            logger.warning("%s isn't used any more, and can't be renamed: %s", path, exc.strerror)


def _read(path: Path) -> _Saved | None:
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
        if saved.version > VERSION:
            raise msgspec.ValidationError(f"version {saved.version} is newer than this gateway")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        logger.warning("%s can't be read, so the active models are lost: %s", path, exc.strerror)
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        _set_aside(path, exc)
        return None
    return saved


def _set_aside(path: Path, why: Exception) -> None:
    aside = path.with_suffix(f".{time.time_ns()}.broken")
    try:
        path.rename(aside)
    except OSError as exc:
        logger.warning("%s makes no sense (%s), and can't be renamed: %s", path, why, exc.strerror)
    else:
        logger.warning("%s makes no sense (%s) and is set aside as %s", path, why, aside.name)
