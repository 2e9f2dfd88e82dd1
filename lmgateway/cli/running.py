"""`lmgateway serve`: runs the gateway. To save memory, it imports nothing that only other commands need."""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from ..observe.log_sink import write_without_waiting
from ..server.loop import run as run_loop
from ..service import Service
from .options import OPEN, PROTECTED, load_to_serve
from .urls import url_of


def serve(options: argparse.Namespace) -> int:
    service = Service(lambda: load_to_serve(options).config)

    def announce(port: int) -> None:
        server = service.config.server
        url = url_of(server.host, port, https=bool(server.tls_cert))
        lines = [f"lmgateway {__version__} listens on {url}"]
        if service.config.protected:
            lines.append(PROTECTED)
        elif service.config.unguarded:
            lines.append(OPEN)
        # Non-blocking: a pipe that isn't read must not keep the gateway from serving.
        write_without_waiting(sys.stdout, *lines)

    run_loop(lambda signals: service.run(signals, announce))
    return 0
