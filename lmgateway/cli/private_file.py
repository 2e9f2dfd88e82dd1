"""A file with mode 0600, written atomically."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


class CannotWrite(Exception):
    """The file can't be written; the message says which, why, and what to do."""


def check(path: Path, *, replace: bool) -> None:
    """Raise CannotWrite if the path is a folder, or an existing file and `replace` is false."""
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder. Name a file in it, with --output.")
    if path.exists() and not replace:
        raise CannotWrite(
            f"{path} exists already. Your key is auth.api_key in it, and the dashboard's Connect page has "
            "the lines for clients. --force replaces the file, keeps the key, and saves a copy beside it."
        )


def write(path: Path, text: str, *, replace: bool) -> Path | None:
    """Write the file atomically, with mode 0600 from its first byte on.

    A replaced file is copied beside it first, and the copy's path returned. If it raises CannotWrite, the
    previous file is unchanged.
    """
    path = Path(os.path.realpath(path))  # keeps a symbolic link, and replaces its target
    check(path, replace=replace)
    try:
        backup = _back_up(path) if path.exists() else None
        write_atomically(path, text.encode())
    except OSError as exc:
        raise CannotWrite(
            f"{path} can't be written: {exc.strerror}. Choose a writable folder, with --output."
        ) from exc
    return backup


def _back_up(path: Path) -> Path:
    """Copy the file to the first free name beside it, and return that path."""
    backup = free_name(path)
    write_atomically(backup, path.read_bytes())
    return backup


def free_name(path: Path) -> Path:
    """Return the first free name beside the file for a copy of it."""
    number = 0
    while (backup := path.with_name(f"{path.name}.bak{number or ''}")).exists():
        number += 1
    return backup


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write the file, which has this mode as soon as it has its name. Raises OSError."""
    # mkstemp opens with O_EXCL and mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode != 0o600:
            fresh.chmod(mode)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
