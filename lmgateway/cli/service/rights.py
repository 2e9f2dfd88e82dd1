"""Who may install and remove a service."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from ..failures import EX_NOPERM
from . import program
from .places import Places
from .steps import ServiceFailed


def check(places: Places, verb: str, root: Path, config: Path | None = None) -> None:
    """Raises ServiceFailed if this user can't do `verb` with this service."""
    if sys.platform == "win32":
        return
    named = f" --config {shlex.quote(str(config))}" if config else ""
    call = f"{program.command()} service {verb}{named}"
    is_root = os.geteuid() == 0
    if places.is_user and is_root and "SUDO_USER" in os.environ:
        raise ServiceFailed(
            f"Without sudo, for {os.environ['SUDO_USER']}'s own service: {call} --user", EX_NOPERM
        )
    if not places.is_user and not is_root and root == Path("/"):
        raise ServiceFailed(
            f"For the machine's service, root must do this: sudo {call} (for yourself alone: {call} --user)",
            EX_NOPERM,
        )
