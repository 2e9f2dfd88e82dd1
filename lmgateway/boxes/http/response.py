"""LM Studio's answer to one request, as it comes in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import cast

import aiohttp

from ...aiohttp_private.direct_client import DirectResponse
from ...aiohttp_private.upstream_protocol import UpstreamProtocol
from ...errors import UpstreamBroke, UpstreamSilent


class Answer:
    """LM Studio's answer to one request. Closing it before its end tells LM Studio to stop."""

    def __init__(self, response: aiohttp.ClientResponse | DirectResponse) -> None:
        self._response = response
        self.status = response.status
        self.reason = response.reason or ""
        self.headers = response.headers

    def read_ready(self) -> bytes:
        """Return what has come in already, if anything has. What went wrong meanwhile is `read`'s to tell."""
        content = self._response.content
        return content.read_nowait() if content.exception() is None else b""

    @property
    def has_ended(self) -> bool:
        """Whether `read` has nothing more to return, nor to tell."""
        content = self._response.content
        return content.at_eof() and content.exception() is None

    async def read(self) -> bytes:
        """Return what has come in, at least one byte; b"" at the end.

        Raises UpstreamBroke if LM Studio broke off, UpstreamSilent after too long a silence.
        """
        try:
            return await self._response.content.readany()
        except aiohttp.ServerTimeoutError as exc:
            raise UpstreamSilent("LM Studio stopped sending in the middle of its answer.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamBroke("LM Studio broke off in the middle of its answer.") from exc

    async def wait_end(self, came: Callable[[], None]) -> None:
        """Call `came` now and whenever `read_ready` may have more, until nothing more will come.

        It is called by the event loop and must not raise. What went wrong is `read`'s to tell.
        """
        connection, content = self._response.connection, self._response.content
        if connection is None or connection.protocol is None:
            return
        protocol = cast("UpstreamProtocol", connection.protocol)
        protocol.on_data = came
        try:
            came()
            if content.exception() is None:
                with suppress(aiohttp.ClientError, OSError):
                    await content.wait_eof()
        finally:
            # Since the answer's end the connection may be another one's.
            if protocol.on_data == came:
                protocol.on_data = None

    def break_off(self, error: Exception) -> None:
        """Let nothing more come, and have `wait_end` end."""
        self._response.content.set_exception(error)

    def limit_silence(self, seconds: float | None) -> None:
        """Wait this long for each next byte from now on; None is for ever."""
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = seconds
            connection.protocol.start_timeout()

    def close(self) -> None:
        self._response.close()
