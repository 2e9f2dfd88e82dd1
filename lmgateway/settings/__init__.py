"""Loads the configuration. Precedence: command line > environment > .env > TOML file > defaults."""

from __future__ import annotations

from .collector import COMMAND_LINE_ORIGIN, SettingValue
from .leaf import Setting
from .loading import DEFAULT_ORIGIN, Loaded, load
from .tree import SETTINGS

__all__ = ["COMMAND_LINE_ORIGIN", "DEFAULT_ORIGIN", "SETTINGS", "Loaded", "Setting", "SettingValue", "load"]
