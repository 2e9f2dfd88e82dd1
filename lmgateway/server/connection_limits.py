"""All clients' connections: how many there may be, who left unheard, and how they end."""

from __future__ import annotations

import asyncio
import logging
import select
import sys
from collections import Counter
from contextlib import suppress

from ..config import Config
from ..errors import TooManyConnections
from ..networks import parse_address
from .client_connection import Connection

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# Who used a connection just now may be sending the next request on it; it is answered as the last.
GRACE_SECONDS = 1.0
# What is cut off with an error gets so long to take it.
CUT_SECONDS = 2.0


class Connections:
    """The owner of who is connected. One look a second at all of them takes the place of timers for each."""

    def __init__(self, config: Config | None = None) -> None:
        self.draining = False
        self.all: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self.reconfigure(config or Config())

    def reconfigure(self, config: Config) -> None:
        self.limits = config.limits
        self._drain_seconds = config.server.drain_seconds
        # They have as many as there are clients behind them.
        self._unlimited = config.network.trusted_proxies

    def add(self, connection: Connection) -> None:
        """Take note of a new connection; refuse it if its address has as many as it may have."""
        address, most = connection.address, self.limits.connections_per_address
        self.all.add(connection)
        self._addresses[address] += 1
        number = self._addresses[address]
        if number > most and parse_address(address) not in self._unlimited:
            if number == most + 1:
                logger.warning("%s has %d connections, and gets no more", address, most)
            connection.refuse(TooManyConnections(f"This address has {most} connections already. Close some."))

    def discard(self, connection: Connection) -> None:
        self.all.discard(connection)
        self._addresses[connection.address] -= 1
        if not self._addresses[connection.address]:
            del self._addresses[connection.address]
        self._changed.set()

    async def watch(self) -> None:
        """Look at every connection once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            for connection in list(self.all):
                connection.look(now)
            self._end_unheard()

    def _end_unheard(self) -> None:
        """End the connections whose clients left while nothing was read from them."""
        if sys.platform != "linux":  # the only one that tells without reading what they sent before
            return
        deaf = {connection.descriptor: connection for connection in self.all if connection.is_deaf}
        if not deaf:
            return
        poller = select.poll()
        for descriptor in deaf:
            poller.register(descriptor, select.POLLRDHUP)
        for descriptor, _ in poller.poll(0):
            deaf[descriptor].wire.abort()

    async def drain(self, hurry: asyncio.Event) -> None:
        """End every connection: idle ones now, busy ones after their answer, in the end with an error.

        The end is after the configured time, or when `hurry` is set.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        self.draining = True
        while self.all and not hurry.is_set() and loop.time() < deadline:
            self._end_idle(loop.time())
            pause = min(deadline - loop.time(), GRACE_SECONDS / 10)
            await self._change(pause)
        interrupted = {connection for connection in self.all if connection.interrupt()}
        cut_by = loop.time() + CUT_SECONDS
        while interrupted & self.all and loop.time() < cut_by:
            await self._change(cut_by - loop.time())

    async def _change(self, seconds: float) -> None:
        """Wait until a connection has ended, and no longer than this."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _end_idle(self, now: float) -> None:
        for connection in list(self.all):
            if connection.is_idle and connection.seconds_inactive(now) > GRACE_SECONDS:
                connection.force_close()
