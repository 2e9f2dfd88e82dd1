"""All clients' connections: their number, their time limits, and their end in the drain."""

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
from .client_connection import ClientConnection

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
# A connection used within this time may have another request on its way; it is closed after that request.
GRACE_SECONDS = 1.0
# How long a client may take to read the error that ends its response.
CUT_SECONDS = 2.0
# After a refusal, input is discarded for so long: a connection closed at once would be reset, and the client
# might never read the answer.
LINGER_SECONDS = 2.0


class ConnectionLimits:
    """The owner of the open connections. One sweep a second enforces all limits, in place of timers."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        sweep_seconds: float = SWEEP_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self.draining = False
        self.linger_seconds = linger_seconds
        self._sweep_seconds = sweep_seconds
        self._grace_seconds = grace_seconds
        self.connections: set[ClientConnection] = set()
        self._per_address: Counter[str] = Counter()
        self._closed_one = asyncio.Event()
        self.reconfigure(config or Config())

    def reconfigure(self, config: Config) -> None:
        self.current = config.limits
        self._drain_seconds = config.server.drain_seconds
        # Trusted proxies have no limit, because they have the connections of all clients behind them.
        self._unlimited = config.network.trusted_proxies

    def add(self, connection: ClientConnection) -> None:
        """Count a new connection; refuse it if its address has reached the limit."""
        address, limit = connection.address, self.current.connections_per_address
        self.connections.add(connection)
        self._per_address[address] += 1
        number = self._per_address[address]
        if number > limit and parse_address(address) not in self._unlimited:
            if number == limit + 1:
                logger.warning("%s has %d connections, and gets no more", address, limit)
            connection.refuse(
                TooManyConnections(f"This address has {limit} connections already. Close some.")
            )

    def discard(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        self._per_address[connection.address] -= 1
        if not self._per_address[connection.address]:
            del self._per_address[connection.address]
        self._closed_one.set()

    async def sweep(self) -> None:
        """Enforce every connection's limits once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._sweep_seconds)
            now = loop.time()
            for connection in list(self.connections):
                connection.enforce_limits(now)
            self._abort_half_closed()

    def _abort_half_closed(self) -> None:
        """Abort the connections whose clients left while nothing was read from them."""
        if sys.platform != "linux":  # only Linux reports a half-closed connection before its input is read
            return
        paused = {each.descriptor: each for each in self.connections if each.is_reading_paused}
        if not paused:
            return
        poller = select.poll()
        for descriptor in paused:
            poller.register(descriptor, select.POLLRDHUP)
        for descriptor, _ in poller.poll(0):
            paused[descriptor].abort()

    async def drain(self, hurry: asyncio.Event) -> None:
        """Close idle connections now, busy ones after their response, the rest with an error at the deadline.

        The deadline is the configured time from now, or when `hurry` is set.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        self.draining = True
        while self.connections and not hurry.is_set() and loop.time() < deadline:
            self._close_idle(loop.time())
            await self._wait_for_close(min(deadline - loop.time(), self._grace_seconds / 10))
        interrupted = {connection for connection in self.connections if connection.interrupt()}
        cut_by = loop.time() + CUT_SECONDS
        while interrupted & self.connections and loop.time() < cut_by:
            await self._wait_for_close(cut_by - loop.time())

    async def _wait_for_close(self, seconds: float) -> None:
        """Wait until a connection has ended, for at most so many seconds."""
        self._closed_one.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed_one.wait()

    def _close_idle(self, now: float) -> None:
        for connection in list(self.connections):
            if connection.is_idle and connection.seconds_inactive(now) > self._grace_seconds:
                connection.force_close()
