"""The shared connection of LM Studio's SDK: opened at first use, replaced when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from ...config import LMStudio
from ...errors import LinkLost, UpstreamSilent, UpstreamUnavailable
from . import library as sdk
from .library import SdkClient

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5
_REFUSED = "LM Studio refused the gateway. If it asks for an API token, set lmstudio.api_token to one of its."
_UNREACHABLE = (
    "LM Studio's SDK can't be reached. Check that LM Studio runs, that its server is started, and that "
    "lmstudio.base_url is its address."
)
_NOT_PLAIN = (
    "Models can only be managed if lmstudio.base_url is plain http without a path, because LM Studio's SDK "
    "supports nothing else."
)
# The SDK takes up to 20 s to close a dead connection; only the end of the process waits for that.
CLOSE_SECONDS = 2


class _Refused(UpstreamUnavailable):
    """LM Studio answers and refuses the gateway: a retry won't help."""


class _Connection:
    """A connected SDK client, and how many calls use it."""

    def __init__(self, client: SdkClient) -> None:
        self.client = client
        self.calls = 0


class SdkLink:
    """The owner of the connection that the next call uses.

    The SDK never reconnects, so a connection that died is replaced: the next call makes a new one, and calls
    that begin meanwhile wait for the same one. A replaced connection is closed when its last call has ended:
    a listing that timed out mustn't end the load beside it.
    """

    def __init__(self, config: LMStudio) -> None:
        self._config = config
        self._current: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._open: set[_Connection] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def reconfigure(self, config: LMStudio) -> None:
        """Use this configuration for new connections. Calls in progress aren't affected."""
        moved = (config.base_url, config.api_token) != (self._config.base_url, self._config.api_token)
        self._config = config
        if moved and self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if moved and (replaced := self._current) is not None:
            self._current = None
            self._close_if_unused(replaced)

    async def close(self) -> None:
        """Close every connection, and open no new one. Waits for at most CLOSE_SECONDS."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        for connection in list(self._open):
            # Calls that still use it are ended too.
            self._close_soon(connection)
        if self._closing:
            _, stuck = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    @asynccontextmanager
    async def connection(self, attempts: int | None = None) -> AsyncIterator[SdkClient]:
        """Yield a connected client for one call. If the call loses it or times out, the client is replaced.

        `attempts` limits the attempts to connect, unless another call is connecting already; the default is
        configured. Raises UpstreamUnavailable.
        """
        connection = await self._connected(attempts)
        connection.calls += 1
        try:
            yield connection.client
        except (LinkLost, UpstreamSilent):
            if connection is self._current:
                logger.warning("the connection to LM Studio's SDK is gone; the next call makes a new one")
                self._current = None
            raise
        finally:
            connection.calls -= 1
            self._close_if_unused(connection)

    async def _connected(self, attempts: int | None) -> _Connection:
        while self._current is None:
            if self._closed:
                raise UpstreamUnavailable("The gateway is stopping.")
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(attempts))
                self._connecting.add_done_callback(self._connect_ended)
            connecting = self._connecting
            # Not `await connecting`: a caller that is cancelled would cancel it for the others as well.
            await asyncio.wait([connecting])
            # Cancelled: the address was changed meanwhile, and the next turn connects to the new one.
            if not connecting.cancelled():
                connecting.result()
        return self._current

    def _connect_ended(self, connecting: asyncio.Task[None]) -> None:
        if self._connecting is connecting:
            self._connecting = None
        if not connecting.cancelled():
            # Mark it as retrieved: every caller may have been cancelled meanwhile.
            connecting.exception()

    async def _connect(self, attempts: int | None) -> None:
        host = _host(self._config.base_url)
        for _ in range((attempts or self._config.connect_attempts) - 1):
            try:
                self._current = await self._try_to_connect(host)
            except _Refused:
                raise
            except UpstreamUnavailable as exc:
                logger.info("%s", exc.message)
                await asyncio.sleep(self._config.connect_pause_ms / 1000)
            else:
                return
        self._current = await self._try_to_connect(host)

    async def _try_to_connect(self, host: str) -> _Connection:
        connection = _Connection(SdkClient(host, self._config.api_token))
        self._open.add(connection)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.client.__aenter__()
        except BaseException as exc:
            # Even a client that never connected holds tasks and sockets.
            self._close_soon(connection)
            if not isinstance(exc, sdk.CONNECT_ERRORS):
                raise
            raise _Refused(_REFUSED) if sdk.is_refusal(exc) else UpstreamUnavailable(_UNREACHABLE) from exc
        logger.info("connected to LM Studio's SDK")
        return connection

    def _close_if_unused(self, connection: _Connection) -> None:
        if connection is not self._current and not connection.calls:
            self._close_soon(connection)

    def _close_soon(self, connection: _Connection) -> None:
        if connection not in self._open:
            return
        self._open.remove(connection)
        task = asyncio.create_task(_close(connection.client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(client: SdkClient) -> None:
    try:
        await client.aclose()
    except sdk.CONNECT_ERRORS as exc:
        logger.debug("closing a dead connection: %r", exc)


def _host(base_url: URL) -> str:
    """Return host:port for the SDK. Raises UpstreamUnavailable for a URL with a path or https."""
    if base_url.scheme != "http" or base_url.raw_path not in {"", "/"}:
        raise UpstreamUnavailable(_NOT_PLAIN)
    return base_url.raw_authority
