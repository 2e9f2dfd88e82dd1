"""Serves an application on its sockets, from startup to the end of the drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext

from aiohttp import web

from .. import background
from .connection_limits import ConnectionLimits
from .runner import Runner
from .sockets import BACKLOG


@asynccontextmanager
async def listening(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    limits: ConnectionLimits | None = None,
    tls: SSLContext | None = None,
    hurry: asyncio.Event | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
) -> AsyncIterator[int]:
    """Serve the application on bound sockets, and yield the port of the first one.

    At the end, running requests are drained for as long as `limits` is configured to wait, or until `hurry`
    is set. Then the sockets are closed, as they are if the application fails to start. `on_failure` is called
    if the task that enforces the limits dies.
    """
    runner = Runner(
        app,
        limits or ConnectionLimits(),
        hurry=hurry or asyncio.Event(),
        on_failure=on_failure or background.raise_in_loop,
    )
    try:
        await runner.setup()
        for bound in sockets:
            await web.SockSite(runner, bound, ssl_context=tls, backlog=BACKLOG).start()
        yield sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
        for bound in sockets:
            bound.close()
