"""The folder of what must last."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_state_path


def state_directory(configured: str) -> Path:
    """Return the configured folder, or the platform's own if that is empty."""
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
