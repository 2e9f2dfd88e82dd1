"""The command that runs the gateway. What only other commands need isn't imported: it would take memory."""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from ..observe.log_sink import write_without_waiting
from ..server.loop import run as run_loop
from ..service import Service
from .options import OPEN, PROTECTED, load_settings
from .urls import url_of


def serve(options: argparse.Namespace) -> int:
    service = Service(lambda: load_settings(options).config)

    def tell(port: int) -> None:
        server = service.config.server
        url = url_of(server.host, port, https=bool(server.tls_cert))
        told = [f"lmgateway {__version__} listens on {url}"]
        if service.config.protected:
            told.append(PROTECTED)
        elif service.config.unguarded:
            told.append(OPEN)
        # Nobody may be reading; that must not keep the gateway from serving.
        write_without_waiting(sys.stdout, "\n".join(told))

    run_loop(lambda signals: service.run(signals, tell))
    return 0
