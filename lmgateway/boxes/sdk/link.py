"""The shared connection of LM Studio's SDK to one address: opened at first use, replaced when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from ...config import LMStudio
from ...errors import LinkLost, UpstreamSilent, UpstreamUnavailable
from ..catalogue import REFUSED
from ..origin import Origin
from . import library as sdk
from . import transport
from .library import SdkClient

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5
UNREACHABLE = (
    "LM Studio can't be reached through its SDK, which lists and loads its models. Check that LM Studio "
    "runs, that its server is started, and that lmstudio.base_url is its address."
)
NOT_PLAIN = (
    "Models can only be managed if lmstudio.base_url is plain http without a path, because LM Studio's SDK "
    "supports nothing else."
)


class _Refused(UpstreamUnavailable):
    """LM Studio answers and refuses the gateway: a retry won't help."""


class _Connection:
    """An SDK client, and how many calls use it."""

    def __init__(self, client: SdkClient) -> None:
        self.client = client
        self.is_connected = self.is_lost = False
        self.calls = 0


class SdkLink:
    """The owner of the connection that the next call to this address uses.

    The SDK never reconnects, so a connection that died is replaced: the next call makes a new one, and calls
    that begin meanwhile wait for the same one. A replaced connection is closed when its last call has ended:
    a listing that timed out mustn't end the load beside it.
    """

    def __init__(
        self, origin: Origin, closing: set[asyncio.Task[None]], on_lost: Callable[[], None] = lambda: None
    ) -> None:
        """The tasks that close connections are added to `closing` as long as they run.

        `on_lost` is called at once when LM Studio closes a connection, or it breaks.
        """
        self.origin = origin
        self._on_lost = on_lost
        self._current: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._open: set[_Connection] = set()
        self._closing = closing
        self._closed = False
        self._outage_logged = False

    def close(self) -> None:
        """Close every connection, also those that calls are using, and open no new one."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            self._own(self._connecting)
        for connection in list(self._open):
            if connection.is_connected:  # otherwise the task that connects closes it
                self._close_soon(connection)

    @asynccontextmanager
    async def connection(self, config: LMStudio, attempts: int | None = None) -> AsyncIterator[SdkClient]:
        """Yield a connected client for one call. If the call loses it or times out, the client is replaced.

        `attempts` limits the attempts to connect, unless another call is connecting already; the default is
        configured. Raises UpstreamUnavailable.
        """
        connection = await self._connected(
            attempts or config.connect_attempts, config.connect_pause_ms / 1000
        )
        connection.calls += 1
        try:
            yield connection.client
        except LinkLost:
            self._lost(connection)
            raise
        except UpstreamSilent:
            self._replace(connection)
            raise
        finally:
            connection.calls -= 1
            if connection is not self._current and not connection.calls:
                self._close_soon(connection)

    def _lost(self, connection: _Connection) -> None:
        """Take in that a socket of a connection is gone, unless the gateway itself has closed it."""
        is_news, connection.is_lost = not connection.is_lost, True
        if is_news and connection.is_connected and connection in self._open and not self._closed:
            self._replace(connection)
            if not connection.calls:
                self._close_soon(connection)
            self._on_lost()

    def _replace(self, connection: _Connection) -> None:
        if connection is self._current:
            logger.warning("the connection to LM Studio's SDK is gone; the next call makes a new one")
            self._current = None

    async def _connected(self, attempts: int, pause_seconds: float) -> _Connection:
        while self._current is None:
            if self._closed:
                raise UpstreamUnavailable("The gateway is stopping.")
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(attempts, pause_seconds))
                self._connecting.add_done_callback(self._connect_ended)
            connecting = self._connecting
            # Not `await connecting`: a caller that is cancelled would cancel it for the others as well.
            await asyncio.wait([connecting])
            # Cancelled: the link was closed meanwhile.
            if not connecting.cancelled():
                connecting.result()
                if self._current is None:  # it is lost already
                    raise UpstreamUnavailable(UNREACHABLE)
        return self._current

    def _connect_ended(self, connecting: asyncio.Task[None]) -> None:
        if self._connecting is connecting:
            self._connecting = None
        if not connecting.cancelled():
            # Mark it as retrieved: every caller may have been cancelled meanwhile.
            connecting.exception()

    async def _connect(self, attempts: int, pause_seconds: float) -> None:
        host = self.origin.sdk_host
        if host is None:
            raise UpstreamUnavailable(NOT_PLAIN)
        for _ in range(attempts - 1):
            try:
                self._current = await self._try_to_connect(host)
            except _Refused:
                raise
            except UpstreamUnavailable as exc:
                if not self._outage_logged:
                    self._outage_logged = True
                    logger.info("%s", exc.message)
                await asyncio.sleep(pause_seconds)
            else:
                return
        self._current = await self._try_to_connect(host)

    async def _try_to_connect(self, host: str) -> _Connection:
        connection = _Connection(SdkClient(host, self.origin.api_token))
        self._open.add(connection)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                with transport.reporting_loss(partial(self._lost, connection)):
                    await connection.client.__aenter__()
        except BaseException as exc:
            # Even a client that never connected holds tasks and sockets.
            self._close_soon(connection)
            if not isinstance(exc, sdk.CONNECT_ERRORS):
                raise
            raise _Refused(REFUSED) if sdk.is_refusal(exc) else UpstreamUnavailable(UNREACHABLE) from exc
        if connection.is_lost:  # one of its sockets, before the last one was open
            self._close_soon(connection)
            raise UpstreamUnavailable(UNREACHABLE)
        connection.is_connected = True
        self._outage_logged = False
        logger.info("connected to LM Studio's SDK")
        return connection

    def _close_soon(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._own(asyncio.create_task(_close(connection.client)))

    def _own(self, task: asyncio.Task[None]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(client: SdkClient) -> None:
    try:
        await client.aclose()
    except sdk.CONNECT_ERRORS as exc:
        logger.debug("closing a dead connection: %s", type(exc).__name__)
