"""Loads the configuration from all its sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct

from ..config import Config
from ..errors import ConfigError
from ..schema.system import SettingReport
from . import boxes, files, misspelt, paths
from .aliases import shared_aliases
from .collector import Collector, SettingValue, default_of
from .misspelt import MisspeltVariable
from .pins import too_many_pins
from .source import CREDENTIALS, ENVIRONMENT, Source, Trust, file_source
from .tree import SETTINGS


class Loaded(Struct, frozen=True):
    """A configuration, its files, and each value's origin.

    `values` contains by TOML path every setting with a fixed path, every setting of each box, and those that
    are set for models. `ignored` has a sentence for each value that isn't used.
    """

    config: Config
    file: Path | None
    dotenv: Path | None
    values: Mapping[str, SettingValue]
    misspelt: tuple[MisspeltVariable, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def origins(self) -> Mapping[str, str]:
        return {path: value.origin for path, value in self.values.items()}

    def value(self, path: str) -> object:
        """Return the value of the setting with this path."""
        return self.values[path].value

    def reports(self) -> tuple[SettingReport, ...]:
        """Return what may be shown of each setting in force: a secret is masked."""
        unused = {boxes.COMMON_ADDRESS} if self.config.boxes else set()
        return tuple(
            SettingReport(path=path, value=value.setting.show(value.value), origin=value.origin)
            for path, value in self.values.items()
            if path not in unused
        )


def load(
    *,
    file: Path | None,
    environ: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
    dotenv: Path = files.DOTENV_PATH,
) -> Loaded:
    """Return the configuration in force. `command_line` has texts by the settings' paths.

    An environment variable overrides systemd's credential of the same name. Raises ConfigError with every
    mistake: its source, the invalid value and what is expected.
    """
    collector = Collector()
    variables = [name for setting in SETTINGS.values() for name in setting.env]
    in_dotenv: Mapping[str, str | None] = {}
    with collector.collecting_problems():
        in_dotenv = files.read_dotenv(dotenv)
    path = files.find_file(file, {**in_dotenv, **{name: text for name, text in environ.items() if text}})
    if path is not None:
        trust = files.trust_of(path, file, environ, in_dotenv)
        with collector.collecting_problems():
            collector.take_toml(files.read_toml(path), file_source(path, trust))
    collector.take_environment(in_dotenv, file_source(dotenv, Trust.DOTENV))
    with collector.collecting_problems():
        collector.take_environment(files.read_credentials(environ, variables), CREDENTIALS)
    collector.take_environment(environ, ENVIRONMENT)
    collector.take_command_line(command_line or {})
    given = {**in_dotenv, **environ}
    near = (
        *misspelt.find(str(dotenv), in_dotenv, given, only_own_prefixes=False),
        *misspelt.find(ENVIRONMENT.name, environ, given, only_own_prefixes=True),
    )
    return _loaded(collector, path, dotenv if in_dotenv else None, near)


def load_tables(tables: Mapping[str, object], origin: str) -> Loaded:
    """Return the configuration that a program has as TOML's tables. Raises ConfigError."""
    collector = Collector()
    collector.take_toml(tables, Source(origin, Trust.COMMAND, Trust.COMMAND))
    return _loaded(collector)


def _loaded(
    collector: Collector,
    file: Path | None = None,
    dotenv: Path | None = None,
    near: tuple[MisspeltVariable, ...] = (),
) -> Loaded:
    if problems := collector.problems or [*boxes.mistakes(collector)]:
        raise ConfigError(problems)
    ignored = boxes.complete(collector)
    config = cast("Config", collector.build())
    if problems := [*shared_aliases(config.models), *too_many_pins(config.residency)]:
        raise ConfigError(problems)
    defaults = {name: default_of(setting) for name, setting in SETTINGS.items()}
    taken = {paths.write(path): value for path, value in sorted(collector.values.items())}
    return Loaded(config, file, dotenv, {**defaults, **taken}, near, ignored)
