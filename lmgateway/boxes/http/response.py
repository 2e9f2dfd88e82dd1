"""A response of LM Studio's, read while it is received."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import aiohttp

from ...aiohttp_private.direct_client import DirectResponse
from ...aiohttp_private.flow_control import read_buffered, unread_end
from ...aiohttp_private.upstream_protocol import UpstreamProtocol
from ...errors import DO_NOT_RETRY, UpstreamBroke, UpstreamSilent
from .sockets import PEER_GONE, is_peer_gone

logger = logging.getLogger(__name__)


class UpstreamResponse:
    """A response of LM Studio's. Closing it before its end makes LM Studio stop."""

    def __init__(self, response: aiohttp.ClientResponse | DirectResponse) -> None:
        self._response = response
        self.status = response.status
        self.reason = response.reason or ""
        self.headers = response.headers

    def read_ready(self) -> bytes:
        """Return the buffered bytes, or b"". Never raises: a pending error is raised by the next read()."""
        content = self._response.content
        return read_buffered(content) if content.exception() is None else b""

    def unread_end(self, pieces: int) -> bytes:
        """Return the last pieces, at most so many, of what was received and isn't read yet."""
        return unread_end(self._response.content, pieces)

    @property
    def has_ended(self) -> bool:
        """True if read() has nothing more to return, nor to raise."""
        content = self._response.content
        return content.at_eof() and content.exception() is None

    @property
    def is_open(self) -> bool:
        """True while LM Studio may still send something of it."""
        connection = self._response.connection
        return connection is not None and connection.protocol is not None

    async def read(self) -> bytes:
        """Return the next bytes, at least one; b"" at the end.

        Raises UpstreamBroke if LM Studio broke off, UpstreamSilent after too long a silence.
        """
        try:
            return await self._response.content.readany()
        except aiohttp.ServerTimeoutError as exc:
            message = "LM Studio stopped sending in the middle of its answer."
            raise UpstreamSilent(message, headers=DO_NOT_RETRY) from exc
        except (aiohttp.ClientError, OSError) as exc:
            if is_peer_gone(exc):
                logger.warning("a response of LM Studio's ends here: %s", PEER_GONE)
                raise UpstreamBroke(PEER_GONE) from exc
            raise UpstreamBroke("LM Studio broke off in the middle of its answer.") from exc

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback`, which must not raise, when LM Studio has sent all of the response."""
        self._response.content.on_eof(callback)

    async def wait_end(self, on_data: Callable[[], None]) -> None:
        """Call `on_data` now and whenever read_ready() may have more, until the response has ended.

        The event loop calls it, so it must not raise. A pending error is raised by the next read().
        """
        connection, content = self._response.connection, self._response.content
        if connection is None or connection.protocol is None:
            return
        protocol = cast("UpstreamProtocol", connection.protocol)
        protocol.on_data = on_data
        try:
            on_data()
            if content.exception() is None:
                with suppress(aiohttp.ClientError, OSError):
                    await content.wait_eof()
        finally:
            # Since the response's end the connection may be in use for another one.
            if protocol.on_data == on_data:
                protocol.on_data = None

    def break_off(self, error: Exception) -> None:
        """Discard the rest, and end wait_end() with this error."""
        self._response.content.set_exception(error)

    def limit_silence(self, seconds: float | None) -> None:
        """Limit the time to each next byte from now on; None is no limit."""
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = seconds
            connection.protocol.start_timeout()

    def close(self) -> None:
        self._response.close()
