"""The settings that a command uses, and those that its options set."""

from __future__ import annotations

import argparse
import os
import sys

from .. import settings
from ..errors import ConfigError
from ..observe.log_sink import write_without_waiting
from ..settings import destinations, ownership, paths

PROTECTED = (
    "Only clients on this machine are served, because there is no key, and network.ip_allowlist isn't set."
)
OPEN = "Any client that can reach this machine is served, because there is no key."
UNREADABLE = "The saved keys can't be read, so only the owner's key (auth.api_key) is accepted."
KEYS_ONLY = "Clients need a named key: auth.api_key isn't set."

_HOW_TO_SET = (
    "write SETTING=VALUE. Put a name with characters other than letters, digits, _ and - in double quotes, "
    """and the whole in single quotes for the shell: --set 'models."qwen/qwen3-8b".load.contextLength=8192'"""
)


def load_settings(options: argparse.Namespace) -> settings.Loaded:
    """Read the settings, and warn of their sources on stderr. Raises ConfigError."""
    loaded = read_settings(options)
    warn_of_sources(loaded)
    return loaded


def read_settings(options: argparse.Namespace) -> settings.Loaded:
    return settings.load(file=options.config, environ=os.environ, command_line=command_line(options))


def load_to_serve(options: argparse.Namespace) -> settings.Loaded:
    """Like load_settings, but also refuse to send LM Studio's token where it mustn't go."""
    loaded = load_settings(options)
    destinations.check_lm_studios(loaded)
    return loaded


def warn_of_sources(loaded: settings.Loaded) -> None:
    """Say on stderr which files may be another user's, and which values aren't used or probably misspelt."""
    for sentence in (*ownership.foreign_files(loaded), *loaded.misspelt, *loaded.ignored):
        # A reload runs in the event loop, which a full pipe must not block.
        write_without_waiting(sys.stderr, f"lmgateway: {sentence}")


def command_line(options: argparse.Namespace) -> dict[str, str]:
    """Return the values that the command's options set, by the settings' paths in TOML syntax.

    Raises ConfigError.
    """
    values = {}
    for item in options.set:
        try:
            path, value = paths.split_assignment(item)
        except ValueError as exc:
            # Without the value, which may be a secret.
            begin = f"{settings.COMMAND_LINE_ORIGIN}: --set {item.partition('=')[0]}"
            raise ConfigError([f"{begin}: {_HOW_TO_SET}"]) from exc
        values[paths.write(path)] = value
    for setting, option in (("server.host", "host"), ("server.port", "port"), ("logging.level", "log_level")):
        chosen = getattr(options, option, None)
        if chosen is not None:
            values[setting] = chosen
    return values
