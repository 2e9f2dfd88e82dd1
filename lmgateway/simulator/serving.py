"""Runs a simulator on a port of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .rest import KEEP_ALIVE_SECONDS
from .simulator import Simulator

SHUTDOWN_SECONDS = 0.01
"""How long open streams and sockets get to end by themselves: none, as in LM Studio; 0 would be no limit."""


@asynccontextmanager
async def serve(simulator: Simulator, host: str, port: int) -> AsyncIterator[int]:
    """Yields the bound port; port 0 takes any free one.

    If `make_app()` is run in another way, pass `handler_cancellation=True`: otherwise a generation continues
    when its client disconnects.
    """
    runner = web.AppRunner(
        simulator.make_app(),
        handler_cancellation=True,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        access_log=None,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
