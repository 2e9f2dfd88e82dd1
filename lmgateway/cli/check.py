"""`lmgateway check`: shows every setting in force."""

from __future__ import annotations

import argparse

from ..server.tls import server_context
from .options import PROTECTED, load_to_serve
from .output import say


def check(options: argparse.Namespace) -> int:
    loaded = load_to_serve(options)
    # Raises ConfigError for a certificate with which the gateway wouldn't start.
    server_context(loaded.config.server)
    shown = [
        (f"{path} = {value.setting.show(value.value)}", value.origin) for path, value in loaded.values.items()
    ]
    width = max(len(line) for line, _ in shown)
    for line, origin in shown:
        say(f"{line:<{width}}  # {origin}")
    if loaded.config.protected:
        say(PROTECTED)
    return 0
