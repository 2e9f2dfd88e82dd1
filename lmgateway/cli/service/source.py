"""Which configuration a service gets: a new one, or the one that it has."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from msgspec import Struct

from ... import settings
from ...config import Config
from ...errors import ConfigError
from ...settings.files import MACHINE_FOLDER
from . import configuration
from .configuration import ServiceConfig
from .places import CONFIG, Places


class Source(Struct, frozen=True):
    """`config` is what the service will use. `new` is None if its file stays as it is.

    `loaded` is what the gateway used so far in this folder, None if there is nothing here but the service's.
    """

    config: Config
    loaded: settings.Loaded | None
    new: ServiceConfig | None

    @property
    def file(self) -> Path | None:
        return self.loaded.file.absolute() if self.loaded and self.loaded.file else None


def find(options: argparse.Namespace, places: Places) -> Source:
    """Return the file that --config names, else ./config.toml unless the service's own is newer.

    Raises ConfigError.
    """
    loaded = settings.load(file=options.config, environ=os.environ)
    file = loaded.file
    is_other = file is not None and not _is_same(file, places.config)
    # The machine's configuration isn't a user's.
    if is_other and (options.config or file != MACHINE_FOLDER / CONFIG):
        configuration.check(loaded)
        new = configuration.make(loaded, places)
        if options.config or not _is_newer(places.config, file):
            return Source(loaded.config, loaded, new)
        return Source(_in_place(places), loaded, None)
    if places.config.is_file():
        return Source(_in_place(places), None, None)
    raise ConfigError(
        [f"There is no {CONFIG} in {Path.cwd()}. Make one with `lmgateway init`, or name it with --config."]
    )


def _in_place(places: Places) -> Config:
    return settings.load(file=places.config, environ={}, dotenv=places.folder / ".env").config


def _is_newer(path: Path, other: Path | None) -> bool:
    return path.is_file() and other is not None and path.stat().st_mtime >= other.stat().st_mtime


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
