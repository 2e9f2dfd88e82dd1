"""The settings that a command's options lead to."""

from __future__ import annotations

import argparse
import os

from .. import settings
from ..errors import ConfigError

PROTECTED = "Only this machine is served: neither auth.api_key nor network.ip_allowlist is set."
OPEN = "Whoever reaches this machine is served: auth.api_key isn't set."


def load_settings(options: argparse.Namespace) -> settings.Loaded:
    return settings.load(file=options.config, environ=os.environ, command_line=command_line(options))


def command_line(options: argparse.Namespace) -> dict[str, str]:
    """Return what the command's options set, by the settings' paths. Raises ConfigError."""
    found = {}
    for item in options.set:
        path, equals, value = item.partition("=")
        if not equals:
            raise ConfigError([f"{settings.COMMAND_LINE_ORIGIN}: --set {item}: write SETTING=VALUE"])
        found[path.strip()] = value
    for path, name in (("server.host", "host"), ("server.port", "port"), ("logging.level", "log_level")):
        value = getattr(options, name, None)
        if value is not None:
            found[path] = value
    return found
