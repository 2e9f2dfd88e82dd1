"""An application on its sockets, from start to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from aiohttp import web

from .web.connection import Runner

DRAIN_SECONDS = 5.0
AT_ONCE_SECONDS = 0.01
# An unread body is swallowed this long, so that the refusal reaches a client that is still sending.
LINGER_SECONDS = 2.0
KEEPALIVE_SECONDS = 75.0
READ_BUFFER_BYTES = 64 * 1024


class CannotListen(Exception):
    """The address can't be had; the message says which and why."""


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, *, drain_seconds: float = DRAIN_SECONDS
) -> AsyncIterator[int]:
    """Serve the application, and yield the port it listens on (of `port` 0: the one that was free).

    At the end, running requests may go on for `drain_seconds`. Raises CannotListen.
    """
    runner = Runner(
        app,
        # Off by default in aiohttp: without it a client that hangs up leaves LM Studio generating.
        handler_cancellation=True,
        # Bodies pass as they are; unpacked, they would no longer fit their headers.
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        read_bufsize=READ_BUFFER_BYTES,
        # Zero would be no limit at all.
        shutdown_timeout=drain_seconds or AT_ONCE_SECONDS,
    )
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    site: web.BaseSite
    try:
        if host == "::" and socket.has_dualstack_ipv6():
            # asyncio would take IPv6 only; whoever says "every address" means IPv4 too.
            family = socket.AF_INET6
            site = web.SockSite(
                runner, socket.create_server((host, port), family=family, dualstack_ipv6=True)
            )
        else:
            site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as exc:
        # asyncio's own words repeat the address, in another form.
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror
        raise CannotListen(f"can't listen on {host} port {port}: {reason}") from exc


def run(main: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
    """Run an event loop for it, uvloop's where there is one.

    `main` is handed the event that is set when the process is asked to end, by SIGTERM or Ctrl-C.
    """

    async def run_until_stopped() -> None:
        stop = asyncio.Event()
        if sys.platform != "win32":  # where Ctrl-C cancels
            # Before anything can be seen from outside, or whoever stops us early kills us.
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(stop)

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_until_stopped())
