"""Which of the files that were read others than the user and the administrator may have written."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from ..text import printable
from .files import MACHINE_FOLDER
from .loading import Loaded

if sys.platform == "win32":

    def _user(number: int) -> str:
        return f"user {number}"

else:
    import pwd

    def _user(number: int) -> str:
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return f"user {number}"


def foreign_files(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for each file that isn't the user's own.

    Windows' modes don't say who may write a file.
    """
    for path in (loaded.file, loaded.dotenv):
        if path is not None and (reason := _reason(path)) is not None:
            yield f"The settings in {printable(str(path.absolute()))} may be another user's: {reason}."


def _reason(path: Path) -> str | None:
    """Return who else may have written the file; None if no one else, or if it isn't a regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        # A link may be another user's, and so may the file that it leads to.
        for place in dict.fromkeys((path.absolute(), path.resolve())):
            if (reason := _reason_of(place)) is not None:
                return reason
    except OSError:  # the file was removed after it was read
        return None
    return None


def _reason_of(path: Path) -> str | None:
    if sys.platform == "win32":
        return None
    own = {0, os.geteuid()}
    file, folder = path.lstat(), path.parent.stat()
    # The administrator decides who writes the machine's file, such as the user who mounts it in a container.
    if path.parent != MACHINE_FOLDER:
        if file.st_uid not in own:
            return f"it belongs to {_user(file.st_uid)}"
        if folder.st_uid not in own:
            return f"its folder belongs to {_user(folder.st_uid)}"
    if not stat.S_ISLNK(file.st_mode) and file.st_mode & stat.S_IWOTH:
        return "every user of this machine can change it"
    # In a sticky folder, such as /tmp, only the owner can replace a file.
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return "every user of this machine can replace it"
    return None
