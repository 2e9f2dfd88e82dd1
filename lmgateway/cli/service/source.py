"""Which configuration a service gets: a new one, or the one that it has."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from ... import settings
from ...config import Config
from ...errors import ConfigError
from ...settings import files
from ...settings.files import MACHINE_FOLDER
from . import configuration
from .configuration import ServiceConfig
from .places import CONFIG, Places, home_of_owner


class Source(Struct, frozen=True):
    """`used` is the configuration of the gateway in this folder so far, None if there is only the service's.

    `taken` is the one that the service gets: the same, or its own, which is then `kept`.
    """

    used: settings.Loaded | None
    taken: settings.Loaded
    new: ServiceConfig

    @property
    def config(self) -> Config:
        return self.taken.config

    @property
    def kept(self) -> bool:
        return self.taken is not self.used

    @property
    def file(self) -> Path | None:
        return self.used.file.absolute() if self.used and self.used.file else None


def find(options: argparse.Namespace, places: Places) -> Source:
    """Return the file that --config names, else ./config.toml unless the service's own is newer.

    Raises ConfigError.
    """
    with _home_of_owner(files.find_file(options.config, os.environ)):
        used: settings.Loaded | None = settings.load(file=options.config, environ=os.environ)
    file = used.file if used else None
    # The machine's configuration isn't a user's.
    is_usual = file == MACHINE_FOLDER / CONFIG and not options.config
    if used is None or file is None or is_usual or _is_same(file, places.config):
        used = None
    if used is None and not places.config.is_file():
        advice = "Make one with `lmgateway init`, or name it with --config."
        raise ConfigError([f"There is no {CONFIG} in {Path.cwd()}. {advice}"])
    if used is None or (not options.config and _is_newer(places.config, file)):
        taken = settings.load(file=places.config, environ={}, dotenv=places.folder / ".env")
    else:
        taken = used
    configuration.check(taken)
    return Source(used, taken, configuration.make(taken, places))


@contextmanager
def _home_of_owner(file: Path | None) -> Iterator[None]:
    """Make ~ in the settings the home of the file's owner, although root reads it."""
    home = home_of_owner(file) if file is not None and file.is_file() else None
    previous = os.environ.get("HOME")
    if home is None or previous is None:
        yield
        return
    os.environ["HOME"] = str(home)
    try:
        yield
    finally:
        os.environ["HOME"] = previous


def _is_newer(path: Path, other: Path | None) -> bool:
    return path.is_file() and other is not None and path.stat().st_mtime >= other.stat().st_mtime


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
