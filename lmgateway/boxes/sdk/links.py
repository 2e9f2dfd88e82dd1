"""The SDK's connections to all addresses that the configuration has had, as long as calls use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from ...config import LMStudio
from ...errors import UpstreamUnavailable
from ..origin import Origin
from .library import SdkClient
from .link import SdkLink

# The SDK takes up to 20 s to close a dead connection; only the end of the process waits for that.
CLOSE_SECONDS = 2


class _Use:
    """A link, and how many calls use it or wait for it."""

    def __init__(self, link: SdkLink) -> None:
        self.link = link
        self.calls = 0


class SdkLinks:
    """The owner of the links. Only that of the configuration in force is open while no call uses it.

    A request that began before a reload may still call the old address, with the old token. `on_lost` is
    called at once when the connection of the one in force is lost; it must not raise.
    """

    on_lost: Callable[[], None] | None = None

    def __init__(self, config: LMStudio) -> None:
        self._in_force: Origin | None = Origin.of(config)
        self._uses: dict[Origin, _Use] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def prefer(self, config: LMStudio | None) -> None:
        """Have this configuration in force, or none. Other links are closed after their last call."""
        self._in_force = None if config is None else Origin.of(config)
        for origin in list(self._uses):
            self._close_if_unused(origin)

    @asynccontextmanager
    async def connection(self, config: LMStudio, attempts: int | None = None) -> AsyncIterator[SdkClient]:
        """Yield a client that is connected as this configuration says. As SdkLink.connection."""
        if self._closed:
            raise UpstreamUnavailable("The gateway is stopping.")
        origin = Origin.of(config)
        use = self._uses.get(origin)
        if use is None:
            use = self._uses[origin] = _Use(SdkLink(origin, self._closing, partial(self._lost, origin)))
        use.calls += 1
        try:
            async with use.link.connection(config, attempts) as client:
                yield client
        finally:
            use.calls -= 1
            self._close_if_unused(origin)

    async def close(self) -> None:
        """Close every link, and open no new one. Waits for at most CLOSE_SECONDS."""
        self._closed = True
        for use in self._uses.values():
            use.link.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSE_SECONDS
        # In turns, because a task that was connecting ends by starting one that closes.
        while self._closing and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._closing, timeout=left)
        stuck = list(self._closing)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    def _lost(self, origin: Origin) -> None:
        if origin == self._in_force and self.on_lost is not None:
            self.on_lost()

    def _close_if_unused(self, origin: Origin) -> None:
        use = self._uses.get(origin)
        if use is not None and origin != self._in_force and not use.calls:
            use.link.close()
            del self._uses[origin]
