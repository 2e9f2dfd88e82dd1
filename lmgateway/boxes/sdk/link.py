"""The one connection to LM Studio's SDK: made when first needed, shared, replaced when it died."""

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
    "Models can only be managed where lmstudio.base_url is plain http and has no path; the SDK knows no more."
)
# A dead link takes the SDK up to 20 s to let go of; nobody waits for that but the end of the process.
CLOSE_SECONDS = 2


class _Refused(UpstreamUnavailable):
    """LM Studio is there and doesn't want us: to ask again won't help."""


class _Link:
    """A connection, and how many calls are on it."""

    def __init__(self, client: SdkClient) -> None:
        self.client = client
        self.calls = 0


class Links:
    """The owner of the link that the next call is made on.

    The SDK never reconnects, so a link that died is dropped, and the next call makes a new one. Callers that
    come while it is being made wait for the same one. What is dropped is closed when its last call has ended:
    a list that took too long mustn't end the load beside it.
    """

    def __init__(self, config: LMStudio) -> None:
        self._config = config
        self._current: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._open: set[_Link] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def reconfigure(self, config: LMStudio) -> None:
        """Connect by this configuration from now on. Calls in progress go on as they began."""
        moved = (config.base_url, config.api_token) != (self._config.base_url, self._config.api_token)
        self._config = config
        if moved and self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if moved and (link := self._current) is not None:
            self._current = None
            self._close_if_unused(link)

    async def close(self) -> None:
        """Let go of the connection, soon, and make no other one."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        for link in list(self._open):
            # Calls that are on it still, which nobody waits for any more, end with it.
            self._close_soon(link)
        if self._closing:
            _, stuck = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    @asynccontextmanager
    async def borrowed(self, attempts: int | None = None) -> AsyncIterator[SdkClient]:
        """Lend the link to a call. If the call finds it dead or silent, it is the last one.

        `attempts` is how often to try to connect, if nobody does yet; as configured if not given. Raises
        UpstreamUnavailable.
        """
        link = await self._linked(attempts)
        link.calls += 1
        try:
            yield link.client
        except (LinkLost, UpstreamSilent):
            if link is self._current:
                logger.warning("the connection to LM Studio's SDK is gone; the next call makes a new one")
                self._current = None
            raise
        finally:
            link.calls -= 1
            self._close_if_unused(link)

    async def _linked(self, attempts: int | None) -> _Link:
        while self._current is None:
            if self._closed:
                raise UpstreamUnavailable("The gateway is ending.")
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(attempts))
                self._connecting.add_done_callback(self._connected)
            connecting = self._connecting
            # Not the task itself: whoever stops waiting must not take the connection from the others.
            await asyncio.wait([connecting])
            # Cancelled: the address was changed meanwhile, and the new one is next.
            if not connecting.cancelled():
                connecting.result()
        return self._current

    def _connected(self, connecting: asyncio.Task[None]) -> None:
        if self._connecting is connecting:
            self._connecting = None
        if not connecting.cancelled():
            # It is raised to all who wait for it, which may be nobody any more.
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

    async def _try_to_connect(self, host: str) -> _Link:
        link = _Link(SdkClient(host, self._config.api_token))
        self._open.add(link)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await link.client.__aenter__()
        except BaseException as exc:
            # Even a client that never connected holds tasks and sockets.
            self._close_soon(link)
            if not isinstance(exc, sdk.CONNECT_ERRORS):
                raise
            raise _Refused(_REFUSED) if sdk.is_refusal(exc) else UpstreamUnavailable(_UNREACHABLE) from exc
        logger.info("connected to LM Studio's SDK")
        return link

    def _close_if_unused(self, link: _Link) -> None:
        if link is not self._current and not link.calls:
            self._close_soon(link)

    def _close_soon(self, link: _Link) -> None:
        if link not in self._open:
            return
        self._open.remove(link)
        task = asyncio.create_task(_close(link.client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(client: SdkClient) -> None:
    try:
        await client.aclose()
    except sdk.CONNECT_ERRORS as exc:
        logger.debug("closing a dead link: %r", exc)


def _host(base_url: URL) -> str:
    """Return host:port as the SDK takes it. Raises UpstreamUnavailable for what it can't express."""
    if base_url.scheme != "http" or base_url.raw_path not in {"", "/"}:
        raise UpstreamUnavailable(_NOT_PLAIN)
    return base_url.raw_authority
