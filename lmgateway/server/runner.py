"""Runs an application until its last connection has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from .. import background
from ..aiohttp_private.server_runner import ProtocolRunner
from ..web.state import EXPECTS_CONTINUE
from .client_connection import ClientConnection
from .connection_limits import ConnectionLimits

READ_BUFFER_BYTES = 64 * 1024
_NEVER = 365 * 86400.0
# aiohttp's shutdown timeout: requests that run after the drain are cancelled at once. 0 would be no limit.
_AT_ONCE = 0.01


class Runner(ProtocolRunner):
    """aiohttp's runner with the gateway's connections, limits and end."""

    __slots__ = ("_hurry", "_limits", "_on_failure", "_sweeping")

    def __init__(
        self,
        app: web.Application,
        limits: ConnectionLimits,
        *,
        hurry: asyncio.Event,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`hurry` ends the waiting for running requests; `on_failure` is called if the sweep dies."""
        super().__init__(
            app,
            make_protocol=self._connect,
            on_expect=_remember_expectation,
            # Off by default in aiohttp. Without it LM Studio would go on generating after a disconnection.
            handler_cancellation=True,
            # Bodies are forwarded unchanged; decompressed, they would no longer match their headers.
            auto_decompress=False,
            access_log=None,
            # The sweep closes idle connections.
            keepalive_timeout=_NEVER,
            lingering_time=limits.linger_seconds,
            read_bufsize=READ_BUFFER_BYTES,
            shutdown_timeout=_AT_ONCE,
        )
        self._limits = limits
        self._hurry = hurry
        self._on_failure = on_failure
        self._sweeping: asyncio.Task[None] | None = None

    def _connect(self, server: web.Server, **options: Any) -> ClientConnection:
        # Read for each connection, because a reload may change it.
        head_bytes = self._limits.current.head_bytes
        return ClientConnection(
            server, self._limits, max_line_size=head_bytes, max_field_size=head_bytes, **options
        )

    def make_connection(self) -> ClientConnection:
        """Return a connection without a transport, for a listener of its own. To be called after setup()."""
        if self.server is None:
            raise RuntimeError("the runner isn't set up")
        return cast("ClientConnection", self.server())

    async def setup(self) -> None:
        await super().setup()
        self._sweeping = background.start_vital(self._limits.sweep(), self._on_failure)

    async def shutdown(self) -> None:
        # The application's open event streams end first: they would never end by themselves.
        await super().shutdown()
        await self._limits.drain(self._hurry)
        if self._sweeping is not None:
            await background.end(self._sweeping)


def _remember_expectation(request: web.BaseRequest) -> None:
    # request_bodies.Upload sends 100 Continue when the body is read.
    request[EXPECTS_CONTINUE] = True
