"""Takes the state along: the active models, the named keys, and who used what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...config import Config
from ...errors import StateInUse
from ...storage import database
from ...storage.file_lock import try_lock
from ...storage.folder_lock import FILE_NAME as LOCK
from ...storage.folder_lock import holder_of
from ...storage.legacy_state_file import NAMES as LEGACY
from ...storage.state_folder import state_directory
from .. import private_file
from ..output import say
from .places import Places, home_of_owner
from .steps import Step


def folder_of(config: Config, file: Path) -> Path:
    """Return the state folder of the gateway that ran with this configuration so far.

    Without server.state_dir it is in the home folder of the file's owner: root installs what a user tried.
    """
    home = home_of_owner(file)
    if config.server.state_dir or home is None:
        return state_directory(config.server.state_dir).absolute()
    return home / ".local/state/lmgateway"


def check(source: Path) -> None:
    """Raises StateInUse if a gateway has the folder: it would go on writing there."""
    try:
        holder = holder_of(source)
    except OSError:  # a folder without locks
        return
    if holder is not None:
        raise StateInUse(f"The gateway still runs: {holder}. End it (Ctrl-C), and then install the service.")


def copying(source: Path, places: Places) -> Iterator[Step]:
    """Yield the step that copies the state, unless there is none, or the service has its own already."""
    if not _has_state(source) or source.resolve() == places.state.resolve():
        return
    # A link, once systemd has moved it to where only root can look.
    if places.state.is_symlink() or _has_state(places.state):
        say(f"The service keeps its state in {places.state}; that in {source} isn't copied.")
        return
    about = "the active models, the named keys and the usage"
    yield Step(f"copy {about} from {source} to {places.state}", lambda: _copy(source, places.state))


_DATABASES = (database.FILE_NAME, *LEGACY)


def _has_state(folder: Path) -> bool:
    # Not Path.is_file(), which raises an error in a folder that this user may not enter.
    return any(os.path.isfile(folder / name) for name in _DATABASES)  # noqa: PTH113


def _copy(source: Path, target: Path) -> None:
    # systemd gives this folder to the service's user, and moves it to /var/lib/private (systemd.exec(5)).
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(source):
        # All of them: SQLite's log beside the database has what was written last.
        # The database itself comes last: if this breaks off, the next installation copies everything again.
        for file in sorted(source.iterdir(), key=lambda file: file.name in _DATABASES):
            if file.is_file() and file.name != LOCK:
                private_file.write_atomically(target / file.name, file.read_bytes())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder, so that no gateway writes to it meanwhile. Raises StateInUse."""
    try:
        # Not created, because root would own the file, and the user couldn't open it.
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        if not try_lock(lock):
            raise StateInUse(
                f"A gateway has just begun to use {folder}. End it, and install the service again."
            )
        yield
    finally:
        os.close(lock)
