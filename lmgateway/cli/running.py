"""`lmgateway serve`: runs the gateway. To save memory, it imports nothing that only other commands need."""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from ..access.keyring import Keyring
from ..observe.log_sink import write_without_waiting
from ..server.loop import run as run_loop
from ..service import Service
from .machine import lan_addresses
from .options import KEYS_ONLY, OPEN, PROTECTED, UNREADABLE, load_to_serve
from .urls import dashboards, url_of


def serve(options: argparse.Namespace) -> int:
    service = Service(lambda: load_to_serve(options))

    def announce(port: int, ring: Keyring) -> None:
        config, server = service.config, service.config.server
        url = url_of(server.host, port, https=bool(server.tls_cert))
        lines = [f"lmgateway {__version__} listens on {url}"]
        if not ring.is_readable:
            lines.append(UNREADABLE)
        elif ring.is_configured:
            lines += [] if config.auth.api_key else [KEYS_ONLY]
        elif config.protected:
            lines.append(PROTECTED)
        elif config.unguarded:
            lines.append(OPEN)
        if sys.stdout.isatty():
            lines += dashboards(config, lan_addresses(), port, has_keys=ring.is_configured)
        # Non-blocking: a pipe that isn't read must not keep the gateway from serving.
        write_without_waiting(sys.stdout, *lines)

    run_loop(lambda signals: service.run(signals, announce))
    return 0
