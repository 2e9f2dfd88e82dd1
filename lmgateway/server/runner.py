"""aiohttp's runner, with connections, requests and an end of ours."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import ERROR
from multidict import CIMultiDictProxy

from .. import background
from ..web.state import EXPECTS_CONTINUE
from .client_connection import LINGER_SECONDS, Connection
from .connection_limits import Connections

READ_BUFFER_BYTES = 64 * 1024
_NEVER = 365 * 86400.0
# What is left after the drain is left for good; zero would be no limit at all.
_AT_ONCE = 0.01


class Runner(web.AppRunner):
    """Runs an application until its last connection has ended."""

    __slots__ = ("_connections", "_hurry", "_watching")

    def __init__(self, app: web.Application, connections: Connections, hurry: asyncio.Event) -> None:
        """`hurry` ends the waiting for running requests at the end."""
        super().__init__(
            app,
            # Off by default in aiohttp: without it a client that hangs up leaves LM Studio generating.
            handler_cancellation=True,
            # Bodies pass as they are; unpacked, they would no longer fit their headers.
            auto_decompress=False,
            access_log=None,
            # Connections looks after idle ones itself.
            keepalive_timeout=_NEVER,
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BUFFER_BYTES,
            shutdown_timeout=_AT_ONCE,
        )
        self._connections = connections
        self._hurry = hurry
        self._watching: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        await super().setup()
        self._watching = background.start(self._connections.watch())

    async def shutdown(self) -> None:
        # The application's open event streams end first: nobody waits for them.
        await super().shutdown()
        await self._connections.drain(self._hurry)
        if self._watching is not None:
            await background.end(self._watching)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        make_request = server.request_factory

        def make_our_request(message: RawRequestMessage, *arguments: Any) -> web.BaseRequest:
            # aiohttp would answer 100 Continue before anybody has judged the request; bodies.Upload does it
            # when the body is wanted.
            expectation = message.headers.get("Expect")
            if expectation is not None:
                headers = message.headers.copy()
                del headers["Expect"]
                message = message._replace(headers=CIMultiDictProxy(headers))
            if message is ERROR:  # which aiohttp takes for HTTP/1.0, and would answer so
                message = message._replace(version=HttpVersion11)
            request = make_request(message, *arguments)
            if (
                expectation is not None
                and expectation.lower() == "100-continue"
                and message.version >= (1, 1)
            ):
                request[EXPECTS_CONTINUE] = True
            return request

        return _Server(
            server.request_handler,
            request_factory=make_our_request,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            connections=self._connections,
            **server._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> Connection:
        # Of now, and not of when this server was made: a reload may have changed it.
        head_bytes = self._kwargs["connections"].limits.head_bytes
        return Connection(
            self, loop=self._loop, max_line_size=head_bytes, max_field_size=head_bytes, **self._kwargs
        )

    def pre_shutdown(self) -> None:
        """Close nothing yet: idle connections are the drain's business."""
