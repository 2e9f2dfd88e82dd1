"""The folder of persistent state."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_state_path


def state_directory(configured: str) -> Path:
    """Return the configured folder, or the platform's default if none is configured."""
    return Path(configured) if configured else user_state_path("lmgateway", appauthor=False)


def why_unwritable(folder: Path) -> str | None:
    """Return why the folder isn't writable, None if it is. A missing folder isn't created."""
    # Not path.exists(), which raises PermissionError if a parent folder may not be entered.
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110
    if not nearest.is_dir():
        return f"{nearest} isn't a folder"
    try:
        # Permissions aren't enough: the file system may be read-only or full.
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError as exc:
        return os.strerror(exc.errno) if exc.errno else str(exc)
