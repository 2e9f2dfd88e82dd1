"""The settings that a command's options lead to."""

from __future__ import annotations

import argparse
import os

from .. import settings
from ..errors import ConfigError
from ..settings import paths

PROTECTED = "Only this machine is served: neither auth.api_key nor network.ip_allowlist is set."
OPEN = "Whoever reaches this machine is served: auth.api_key isn't set."

_HOW_TO_SET = (
    "write SETTING=VALUE. A name of other characters than letters, digits, _ and - stands in double quotes, "
    """and those in single ones, for the shell: --set 'models."qwen/qwen3-8b".load.contextLength=8192'"""
)


def load_settings(options: argparse.Namespace) -> settings.Loaded:
    return settings.load(file=options.config, environ=os.environ, command_line=command_line(options))


def command_line(options: argparse.Namespace) -> dict[str, str]:
    """Return what the command's options set, by the settings' paths as TOML writes them.

    Raises ConfigError.
    """
    found = {}
    for item in options.set:
        try:
            path, value = paths.split_assignment(item)
        except ValueError as exc:
            # Not with its value, which may be a secret.
            begin = f"{settings.COMMAND_LINE_ORIGIN}: --set {item.partition('=')[0]}"
            raise ConfigError([f"{begin}: {_HOW_TO_SET}"]) from exc
        found[paths.write(path)] = value
    for setting, option in (("server.host", "host"), ("server.port", "port"), ("logging.level", "log_level")):
        chosen = getattr(options, option, None)
        if chosen is not None:
            found[setting] = chosen
    return found
