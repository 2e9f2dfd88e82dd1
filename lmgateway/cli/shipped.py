"""Files that a wheel has inside the package, and a clone of the repository beside it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def path(name: str) -> Path:
    """Return the path of such a file, for example `systemd/lmgateway.socket`."""
    package = Path(str(resources.files(__package__.partition(".")[0])))
    installed = package / name
    return installed if installed.is_file() else package.parent / name
