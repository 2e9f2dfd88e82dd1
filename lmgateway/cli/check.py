"""`lmgateway check`: shows every setting in force."""

from __future__ import annotations

import argparse

from ..server.tls import server_context
from .options import load_to_serve
from .output import say

_PROTECTED = (
    "Neither auth.api_key nor network.ip_allowlist is set: without a named key (`lmgateway keys list`), only "
    "clients on this machine are served."
)


def check(options: argparse.Namespace) -> int:
    loaded = load_to_serve(options)
    # Raises ConfigError for a certificate with which the gateway wouldn't start.
    server_context(loaded.config.server)
    shown = [(f"{one.path} = {one.value}", one.origin) for one in loaded.reports()]
    width = max(len(line) for line, _ in shown)
    for line, origin in shown:
        say(f"{line:<{width}}  # {origin}")
    if loaded.config.protected:
        say(_PROTECTED)
    return 0
