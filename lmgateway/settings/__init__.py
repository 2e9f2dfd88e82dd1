"""Loads the configuration. Precedence: command line > environment > .env > TOML file > defaults."""

from __future__ import annotations

from .collector import SettingValue
from .leaf import Setting
from .loading import Loaded, load, load_tables
from .source import COMMAND_LINE, DEFAULTS
from .tree import SETTINGS

COMMAND_LINE_ORIGIN = COMMAND_LINE.name
DEFAULT_ORIGIN = DEFAULTS.name

__all__ = [
    "COMMAND_LINE_ORIGIN",
    "DEFAULT_ORIGIN",
    "SETTINGS",
    "Loaded",
    "Setting",
    "SettingValue",
    "load",
    "load_tables",
]
