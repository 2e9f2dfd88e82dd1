"""Checks that the state folder is writable and its database readable."""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from ...errors import ConfigError
from ...storage.database import FILE_NAME
from ...storage.database_file import Malformed, is_at_rest, renamed
from ...storage.database_file import examine as examine_database
from ...storage.folder_lock import holder_of
from ...storage.keys import read_saved
from ...storage.state_folder import state_directory, why_unwritable
from .findings import Finding

_CHECK = "state"


def examine(state_dir: str) -> Iterator[Finding]:
    """Check that server.state_dir is writable, read its database, and say who uses it. Creates nothing."""
    folder = state_directory(state_dir)
    reason = why_unwritable(folder)
    if reason is not None:
        yield Finding.problem(
            _CHECK,
            f"The state can't be saved in {folder}: {reason}.",
            "Make the folder writable for the gateway's user, or set server.state_dir.",
        )
        return
    if (warning := _writable_by_all(folder)) is not None:
        yield warning
    path = folder / FILE_NAME
    try:
        examine_database(path, immutable=is_at_rest(path))
    except FileNotFoundError:
        pass
    except ConfigError as exc:
        yield Finding.problem(_CHECK, str(exc))
        return
    except (Malformed, OSError, sqlite3.Error) as exc:
        yield Finding.problem(
            _CHECK,
            f"{path} can't be read: {exc}.",
            "If it is damaged, the next start sets it aside. If you have a backup, restore it before that.",
        )
        return
    yield _saved(path)
    yield from _renamed(path)


def _saved(path: Path) -> Finding:
    try:
        holder = holder_of(path.parent)
    except OSError as exc:
        return Finding.warning(
            _CHECK,
            f"The state is saved in {path}, but the folder can't be locked: {exc.strerror}.",
            "Start only one gateway that uses it, or set server.state_dir to a folder on a local disk.",
        )
    user = f" The folder is in use by {holder}." if holder else ""
    return Finding.ok(_CHECK, f"The state is saved in {path}.{user}")


def _renamed(path: Path) -> Iterator[Finding]:
    """Report damaged databases that were set aside. They may have had keys, so the gateway admits nobody."""
    damaged = renamed(path)
    if not damaged:
        return
    shown = ", ".join(str(one) for one in damaged)
    if read_saved(path):
        message = f"A damaged database was renamed to {shown}. The gateway doesn't use it."
        yield Finding.note(_CHECK, message, "Delete it when you don't need its contents any more.")
        return
    yield Finding.warning(
        _CHECK,
        f"A damaged database was renamed to {shown}. It may have had keys, so until one is made only the "
        "owner's key (auth.api_key) is accepted.",
        "Make the keys again, with the owner's key: lmgateway keys add NAME\n"
        "If it had no keys: move it out of the folder, and start the gateway again.\n"
        f"If you have a backup: stop the gateway, move it out, and put the backup at {path}.",
    )


def _writable_by_all(folder: Path) -> Finding | None:
    """Return a warning if every user can replace the database. On Windows the mode doesn't say that."""
    if os.name != "posix" or not folder.is_dir() or not folder.stat().st_mode & stat.S_IWOTH:
        return None
    return Finding.warning(
        _CHECK,
        f"Every user of this machine can write to {folder}, where the state is saved.",
        f"chmod 700 {shlex.quote(str(folder))}, or set server.state_dir to another folder.",
    )
