"""Runs a simulator on a port of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .simulator import Simulator

SHUTDOWN_SECONDS = 0.01
"""How long open streams and sockets get to end by themselves: none, as in LM Studio; 0 would be no limit."""


@asynccontextmanager
async def serve(simulator: Simulator, host: str, port: int) -> AsyncIterator[int]:
    """Yields the bound port; port 0 takes any free one.

    Whoever runs `make_app()` otherwise must pass `handler_cancellation=True` as well: without it a client
    that hangs up leaves its generation running.
    """
    runner = web.AppRunner(
        simulator.make_app(),
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        access_log=None,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
