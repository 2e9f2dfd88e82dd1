"""Serves an application on its sockets, from startup to the end of the drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ssl import SSLContext

from aiohttp import web

from .. import background
from .connection_limits import ConnectionLimits
from .runner import Runner
from .sockets import BACKLOG
from .tls_listener import TlsListener


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
    limits, on_failure = limits or ConnectionLimits(), on_failure or background.raise_in_loop
    runner = Runner(app, limits, hurry=hurry or asyncio.Event(), on_failure=on_failure)
    try:
        await runner.setup()
        async with AsyncExitStack() as accepting:
            for bound in sockets:
                if tls is None:
                    await web.SockSite(runner, bound, backlog=BACKLOG).start()
                else:
                    listener = TlsListener(runner.make_connection, tls, limits)
                    await accepting.enter_async_context(listener.accepting(bound, on_failure))
            yield sockets[0].getsockname()[1]
    finally:
        await _stop_accepting(sockets)
        await runner.cleanup()
        for bound in sockets:
            bound.close()


async def _stop_accepting(sockets: Sequence[socket.socket]) -> None:
    """Accept nothing more, and let the event loop take in what it has accepted.

    Otherwise such a connection stays open when asyncio's server is closed, without anybody who reads from it
    (CPython issue 109564), and its client waits as long as the drain lasts.
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        for bound in sockets:
            if bound.fileno() >= 0:  # the listener of TLS has closed it
                loop.remove_reader(bound)
    await asyncio.sleep(0)
