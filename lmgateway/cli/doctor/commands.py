"""The output of other programs on this machine."""

from __future__ import annotations

import shutil
import subprocess

SECONDS = 5.0


def output_of(program: str, *arguments: str) -> str | None:
    """Return what the program prints; None if it isn't installed, fails, or takes too long."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no argument comes from outside
            [path, *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
