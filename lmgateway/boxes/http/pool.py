"""The pool of HTTP connections to one LM Studio, whatever its address."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp

from ...aiohttp_private.connector import FreshConnector, without_retries
from .sockets import open_socket

# LM Studio's HTTP server (Node) closes an idle connection after 5 s. The gateway closes it first, because a
# request on a connection that is just being closed is lost.
IDLE_SECONDS = 4
# The memory for each stalled client, in addition to the kernel's buffer: small enough for hundreds of them.
# Data is passed on in pieces of up to the kernel's receive buffer, which adds to it.
READ_BUFFER_BYTES = 16 * 1024


class HttpPool:
    """The owner of the client session. Enter it before use.

    A connection belongs to its address: after a reload, those of the old address end with their requests.
    """

    session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        session = aiohttp.ClientSession(
            connector=FreshConnector(keepalive_timeout=IDLE_SECONDS, socket_factory=open_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            # Add no header fields to the client's own.
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            # Ignore HTTP_PROXY and .netrc, which are for the internet.
            trust_env=False,
        )
        self.session = without_retries(session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
