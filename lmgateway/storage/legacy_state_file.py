"""The JSON file in which earlier versions saved the active models."""

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
    """Return the models that were saved last. A file that can't be decoded is renamed, with a warning."""
    for name in NAMES:
        saved = _read(folder / name)
        if saved is not None:
            return saved.active
    return ActiveModels()


def retire(folder: Path) -> None:
    """Rename the files, to show that they are no longer read."""
    for name in NAMES:
        path = folder / name
        try:
            with suppress(FileNotFoundError):
                path.replace(path.with_name(f"{name}.taken-over"))
        except OSError as exc:
            logger.warning("%s is no longer used, and can't be renamed: %s", path, exc.strerror)


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
        _rename_broken(path, exc)
        return None
    return saved


def _rename_broken(path: Path, why: Exception) -> None:
    renamed = path.with_suffix(f".{time.time_ns()}.broken")
    try:
        path.rename(renamed)
    except OSError as exc:
        logger.warning("%s can't be decoded (%s), nor renamed: %s", path, why, exc.strerror)
    else:
        logger.warning("%s can't be decoded (%s) and was renamed to %s", path, why, renamed.name)
