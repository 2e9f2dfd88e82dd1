"""A simulator that a test can pause, count, cut off, kill and restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.config import Config, Server
from lmgateway.server.connection_limits import ConnectionLimits
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.simulator import Pace, Simulator

GREETING = "/lmstudio-greeting"
Way = Literal["sdk", "http"]
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


class Door:
    """Which clients are served: those of the SDK's sockets, of HTTP, both or neither.

    The SDK asks for GREETING before its first socket: it is always answered. `refused` counts the connections
    that were broken at their beginning.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._closed: set[Way] = set()
        self._posts: dict[str, int] = {}
        self._passing: dict[Way, set[asyncio.Transport]] = {"sdk": set(), "http": set()}

    def posts(self, path: str) -> int:
        """How many requests with bodies of this path were refused."""
        return self._posts.get(path, 0)

    def close(self, way: Way) -> None:
        """Break the connections of this kind, and each one that is made from now on."""
        self._closed.add(way)
        for transport in self._passing[way]:
            transport.abort()

    def open(self, way: Way) -> None:
        self._closed.discard(way)

    @contextmanager
    def passed(self, request: web.Request) -> Iterator[bool]:
        """Note a request's connection while it is served; False if it is broken instead."""
        way: Way = "sdk" if request.headers.get("Upgrade") else "http"
        transport = request.transport
        if transport is None or (way in self._closed and request.path != GREETING):
            self.refused += 1
            if request.method == "POST":
                self._posts[request.path] = self.posts(request.path) + 1
            if transport is not None:
                transport.abort()
            yield False
            return
        self._passing[way].add(transport)
        try:
            yield True
        finally:
            self._passing[way].discard(transport)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Studio:
    """`upgrades` counts the sockets that were opened, by namespace; `sockets` those that are open.

    `requests` are the methods and paths of all others. `door` has the connections of SDK and HTTP. While
    `greets` is cleared, its greeting comes late.
    """

    simulator: Simulator
    port: int = 0
    upgrades: dict[str, int] = field(default_factory=dict)
    sockets: int = 0
    requests: list[str] = field(default_factory=list)
    door: Door = field(default_factory=Door)
    greets: asyncio.Event = field(default_factory=_set)
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
            with self.door.passed(request) as is_open:
                if not is_open:
                    return web.Response()  # nobody gets it
                if not request.headers.get("Upgrade"):
                    self.requests.append(f"{request.method} {request.path}")
                    if request.path == GREETING:
                        await self.greets.wait()
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
