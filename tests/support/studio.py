"""A simulator that a test can pause, count, kill and restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.config import Config, Server
from lmgateway.server.connection_limits import ConnectionLimits
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.simulator import Pace, Simulator

AT_ONCE = Config(server=Server(drain_seconds=0))


class Held(Pace):
    """Loads wait at each step for `step()`; everything else is instant."""

    def __init__(self) -> None:
        super().__init__(prompt_tokens_per_second=1e9, tokens_per_second=1e9, load_seconds=0)
        self.waiting = asyncio.Semaphore(0)
        self.steps = asyncio.Semaphore(0)

    async def load(self, fraction: float, model_key: str) -> None:
        self.waiting.release()
        await self.steps.acquire()

    def finish(self) -> None:
        for _ in range(100):
            self.steps.release()


@dataclass
class Studio:
    """`upgrades` counts the sockets that were opened, by namespace; `sockets` those that are open.

    `requests` are the methods and paths of all others.
    """

    simulator: Simulator
    port: int = 0
    upgrades: dict[str, int] = field(default_factory=dict)
    sockets: int = 0
    requests: list[str] = field(default_factory=list)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, simulator: Simulator | None = None) -> None:
        """Listen, on the same port as before if it has one; `simulator` takes the place of a dead one."""
        self.simulator = simulator or self.simulator
        app = self.simulator.make_app()

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.headers.get("Upgrade"):
                self.requests.append(f"{request.method} {request.path}")
                return await handler(request)
            self.upgrades[request.path] = self.upgrades.get(request.path, 0) + 1
            self.sockets += 1
            try:
                return await handler(request)
            finally:
                self.sockets -= 1

        app.middlewares.append(count)
        self.port = await self._running.enter_async_context(
            listening(app, bind("127.0.0.1", self.port), limits=ConnectionLimits(AT_ONCE))
        )

    async def stop(self) -> None:
        """End as a killed process does: every connection is gone."""
        await self._running.aclose()


@asynccontextmanager
async def running_studio(simulator: Simulator) -> AsyncIterator[Studio]:
    studio = Studio(simulator)
    await studio.start()
    try:
        yield studio
    finally:
        await studio.stop()
