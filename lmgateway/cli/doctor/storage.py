"""Whether the active models can be remembered."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...studio.state_file import state_directory
from .findings import Finding

_CHECK = "state"


def examine(state_dir: str) -> Iterator[Finding]:
    """Try to write where server.state_dir says; what isn't there is not made."""
    folder = state_directory(state_dir)
    reason = _why_not(folder)
    if reason is None:
        yield Finding.ok(_CHECK, f"The active models are remembered in {folder}.")
    else:
        yield Finding.problem(
            _CHECK,
            f"The active models can't be remembered in {folder}: {reason}.",
            "Make it writable for whoever runs the gateway, or set server.state_dir.",
        )


def _why_not(folder: Path) -> str | None:
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
