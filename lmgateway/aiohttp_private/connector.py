"""The pool of connections to LM Studio."""

from __future__ import annotations

import functools
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from .upstream_protocol import UpstreamProtocol


class FreshConnector(aiohttp.TCPConnector):
    """Reuses an idle connection only if it has received nothing since its last response.

    A pooled connection with bytes to read was closed by LM Studio, or would answer the next request with
    something that nobody requested (aiohttp issue 13656). Polling the kernel before the request is written is
    why a POST never has to be sent twice.

    The connection used last is reused first: it is the likeliest to be alive, and still in the processor's
    cache. Connections that aren't needed age and are closed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A partial's type is that of what it makes, and mypy takes it to be exactly that.
        self._factory = cast(
            "functools.partial[ResponseHandler]", functools.partial(UpstreamProtocol, loop=self._loop)
        )

    async def _get(self, key: Any, traces: Any) -> Any:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = cast("UpstreamProtocol", connection.protocol)
            if not protocol.has_input:
                protocol.is_untouched = True
                return connection
            connection.close()
        return None

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        idle = self._conns[key]
        known = len(idle)
        super()._release(key, protocol, should_close=should_close)
        if len(idle) > known:
            idle.rotate(1)


def without_retries(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Return the session, which from now on sends each request once.

    By itself it sends an idempotent request again that LM Studio may have begun, if a new connection closed.
    """
    session._retry_connection = False
    return session
