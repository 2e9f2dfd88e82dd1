"""Accepts TLS connections: they count, and their time limit runs, from before the handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

from .. import background
from ..config import seconds
from .client_connection import ClientConnection
from .connection_limits import ConnectionLimits
from .sockets import BACKLOG

logger = logging.getLogger(__name__)

# After a failure to accept, for which the reason may be missing file descriptors.
PAUSE_SECONDS = 1.0
_NEVER = 365 * 86400.0


class TlsListener:
    """Accepts the connections of one socket.

    An event loop's own TLS server shows a connection to its protocol only after the handshake, for which it
    allows a minute, and doesn't tell whose handshakes are in progress.
    """

    def __init__(
        self, make_connection: Callable[[], ClientConnection], tls: SSLContext, limits: ConnectionLimits
    ) -> None:
        self._make_connection = make_connection
        self._tls = tls
        self._limits = limits
        self._handshakes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def accepting(
        self, bound: socket.socket, on_failure: Callable[[BaseException], None]
    ) -> AsyncIterator[None]:
        """Accept connections inside; then close the socket, and abort the handshakes."""
        bound.listen(BACKLOG)
        bound.setblocking(False)
        accepting = background.start_vital(self._accept(bound), on_failure)
        try:
            yield
        finally:
            await background.end(accepting, *self._handshakes)
            bound.close()

    async def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(bound)
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                logger.debug("no connection can be accepted: %s", exc)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._begin(accepted, str(peer[0]))

    def _begin(self, accepted: socket.socket, address: str) -> None:
        connection = self._make_connection()
        if not self._limits.count(connection, address):
            # An error response would need a handshake, which takes a millisecond of processor time.
            self._limits.discard(connection)
            accepted.close()
            return
        handshake = background.start(self._shake_hands(connection, accepted))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: ClientConnection, accepted: socket.socket) -> None:
        timeout = seconds(self._limits.current.head_ms) or _NEVER
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=timeout
            )
        except OSError as exc:  # ssl.SSLError is one
            logger.debug("a TLS handshake failed: %s", exc)
        finally:
            if not connection.is_established:
                self._limits.discard(connection)
