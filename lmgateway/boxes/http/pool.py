"""The pool of HTTP connections to one LM Studio, whatever its address."""

from __future__ import annotations

import aiohttp

from ...aiohttp_private.connector import FreshConnector, without_retries
from ..signs_of_life import SignsOfLife
from .sockets import open_socket

# LM Studio's HTTP server (Node) closes an idle connection after 5 s. The gateway closes it first, because a
# request on a connection that is just being closed is lost.
IDLE_SECONDS = 4
# The memory for each stalled client, in addition to the kernel's buffer: small enough for hundreds of them.
# Data is passed on in pieces of up to the kernel's receive buffer, which adds to it.
READ_BUFFER_BYTES = 16 * 1024


class HttpPool:
    """The owner of the client session. Open it before use.

    A connection belongs to its address: after a reload, those of the old address end with their requests.
    """

    session: aiohttp.ClientSession
    connector: FreshConnector

    def __init__(self, signs: SignsOfLife) -> None:
        """Each piece of data that is received is a sign of life."""
        self._signs = signs

    def open(self) -> None:
        """Make the session; the event loop runs."""
        self.connector = FreshConnector(
            self._signs, keepalive_timeout=IDLE_SECONDS, socket_factory=open_socket
        )
        session = aiohttp.ClientSession(
            connector=self.connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            # Add no header fields to the client's own.
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            # Ignore HTTP_PROXY and .netrc, which are for the internet.
            trust_env=False,
        )
        self.session = without_retries(session)

    async def close(self) -> None:
        await self.session.close()
