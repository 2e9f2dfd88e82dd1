"""Writes the service's files, and never loses a changed one."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from .. import private_file
from .steps import Step

PUBLIC, PRIVATE = 0o644, 0o600


def writing(path: Path, text: str, *, mode: int, about: str = "", keeps_copy: bool = False) -> Iterator[Step]:
    """Yield the step that writes this text, unless the file has it already, and only for whom `mode` allows.

    With `keeps_copy`, the previous file is copied beside it first.
    """
    if _has(path, text, mode):
        return
    backup = private_file.free_name(path) if keeps_copy and path.exists() else None

    def act() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if backup is not None:
            private_file.write_atomically(backup, path.read_bytes())
        private_file.write_atomically(path, text.encode(), mode=mode)

    saved = f"; the previous file is saved as {backup}" if backup else ""
    yield Step(f"write {path}{about}{saved}", act)


def _has(path: Path, text: str, mode: int) -> bool:
    try:
        is_wider = stat.S_IMODE(path.stat().st_mode) & ~mode
        return not is_wider and path.read_text("utf-8", "replace") == text
    except OSError:  # there is none, or only root can read it
        return False


def removing(path: Path) -> Iterator[Step]:
    """Yield the step that removes the file if there is one, and an empty folder of drop-ins with it."""

    def act() -> None:
        path.unlink()
        if path.parent.suffix == ".d" and not any(path.parent.iterdir()):
            path.parent.rmdir()

    if path.exists():
        yield Step(f"remove {path}", act)
