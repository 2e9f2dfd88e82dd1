"""A file that only its owner can read."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


class CannotWrite(Exception):
    """The file can't be written; the message says which, why, and what to do."""


def check(path: Path, *, replace: bool) -> None:
    """Raise CannotWrite if the file is there and isn't to be replaced."""
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder. Name a file in it, with --output.")
    if path.exists() and not replace:
        raise CannotWrite(
            f"{path} is there already. --force makes a new one, and keeps the old one beside it."
        )


def write(path: Path, text: str, *, replace: bool) -> Path | None:
    """Write the file, with mode 0600 from its first byte on, and whole from the moment that it has its name.

    What was there is kept beside it, and the copy's path returned. Raises CannotWrite; then nothing is lost.
    """
    path = Path(os.path.realpath(path))  # a link goes on pointing to its file
    check(path, replace=replace)
    try:
        kept = _keep(path) if path.exists() else None
        _put(path, text.encode())
    except OSError as exc:
        raise CannotWrite(
            f"{path} can't be written: {exc.strerror}. Choose a folder that takes it, with --output."
        ) from exc
    return kept


def _keep(path: Path) -> Path:
    """Copy the file to the first name beside it that is free, and return that."""
    number = 0
    while (kept := path.with_name(f"{path.name}.bak{number or ''}")).exists():
        number += 1
    _put(kept, path.read_bytes())
    return kept


def _put(path: Path, content: bytes) -> None:
    # mkstemp opens with O_EXCL and mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
