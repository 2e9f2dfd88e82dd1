"""Whether what must last can be saved, and was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from ...errors import ConfigError
from ...storage.database import FILE_NAME
from ...storage.database_file import Malformed, is_at_rest
from ...storage.database_file import examine as examine_database
from ...storage.state_folder import state_directory, why_unwritable
from .findings import Finding

_CHECK = "state"


def examine(state_dir: str) -> Iterator[Finding]:
    """Try to write where server.state_dir says, and read the database; what isn't there is not made."""
    folder = state_directory(state_dir)
    reason = why_unwritable(folder)
    if reason is not None:
        yield Finding.problem(
            _CHECK,
            f"What must last can't be saved in {folder}: {reason}.",
            "Make it writable for whoever runs the gateway, or set server.state_dir.",
        )
        return
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
            "A damaged one is set aside at the next start. Put a copy of yours in its place before that.",
        )
        return
    yield Finding.ok(_CHECK, f"What must last is saved in {path}.")
