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
# An address at its limit is logged once in this time.
LOG_SECONDS = 60.0
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
        # The connections that count, with the address of each. They include those in a TLS handshake.
        self._counted: dict[ClientConnection, str] = {}
        self._per_address: Counter[str] = Counter()
        self._logged: set[str] = set()
        self._logged_at = 0.0
        self._closed_one = asyncio.Event()
        self.reconfigure(config or Config())

    def reconfigure(self, config: Config) -> None:
        self.current = config.limits
        self._drain_seconds = config.server.drain_seconds
        # Trusted proxies have no limit, because they have the connections of all clients behind them.
        self._unlimited = config.network.trusted_proxies

    def count(self, connection: ClientConnection, address: str) -> bool:
        """Count a connection of this address until it is discarded; return whether it is within the limit."""
        self._counted[connection] = address
        self._per_address[address] += 1
        limit = self.current.connections_per_address
        if self._per_address[address] <= limit or parse_address(address) in self._unlimited:
            return True
        if address not in self._logged:
            self._logged.add(address)
            logger.warning("%s has %d connections, and gets no more", address, limit)
        return False

    def add(self, connection: ClientConnection) -> None:
        """Own a new connection; refuse it if it isn't counted yet and its address has reached the limit."""
        self.connections.add(connection)
        if connection not in self._counted and not self.count(connection, connection.address):
            limit = self.current.connections_per_address
            connection.refuse(
                TooManyConnections(f"This address has {limit} connections already. Close some.")
            )

    def discard(self, connection: ClientConnection) -> None:
        """Forget a connection that has ended, or whose handshake failed. The second call has no effect."""
        self.connections.discard(connection)
        address = self._counted.pop(connection, None)
        if address is None:
            return
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
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
            if now - self._logged_at > LOG_SECONDS:
                self._logged_at = now
                self._logged.clear()

    def _abort_half_closed(self) -> None:
        """Abort the connections whose clients left while nothing was read from them."""
        if sys.platform != "linux":  # only Linux reports a half-closed connection before its input is read
            return
        paused = {each.descriptor: each for each in self.connections if each.is_reading_paused}
        if not paused:
            return
        poller = select.poll()
        for descriptor in paused:
            if descriptor >= 0:
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
            connection.abort_if_delivered(now)
            if connection.is_idle and connection.seconds_inactive(now) > self._grace_seconds:
                connection.force_close()
