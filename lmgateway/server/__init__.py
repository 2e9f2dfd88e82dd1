"""An application on its sockets, from start to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext

from aiohttp import web

from .connection_limits import Connections
from .loop import Signals, run
from .runner import Runner
from .sockets import BACKLOG, bind, inherited

__all__ = ["Signals", "bind", "inherited", "listening", "run"]


@asynccontextmanager
async def listening(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    connections: Connections | None = None,
    tls: SSLContext | None = None,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """Serve the application on bound sockets, and yield the (first one's) port.

    At the end, running requests may go on for as long as `connections` is configured to wait, or until
    `hurry` is set. The sockets are closed then, and also when the application can't be started.
    """
    runner = Runner(app, connections or Connections(), hurry or asyncio.Event())
    try:
        await runner.setup()
        for bound in sockets:
            await web.SockSite(runner, bound, ssl_context=tls, backlog=BACKLOG).start()
        yield sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
        for bound in sockets:
            bound.close()
