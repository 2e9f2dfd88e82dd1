"""The pool of connections to LM Studio."""

from __future__ import annotations

import functools
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from .upstream_protocol import UpstreamProtocol


class FreshConnector(aiohttp.TCPConnector):
    """Reuses an idle connection only if it has received nothing since its last response.

    If a pooled connection has bytes to read, LM Studio has closed it, or has sent bytes that would be taken
    for the next response (aiohttp issue 13656). The kernel is polled for that before a request is written, so
    a POST never has to be retried.

    The connection used last is reused first: it is the likeliest to be alive, and still in the processor's
    cache. The others stay idle until they are closed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # functools.partial is invariant, so mypy rejects a partial of the subclass.
        self._factory = cast(
            "functools.partial[ResponseHandler]", functools.partial(UpstreamProtocol, loop=self._loop)
        )

    async def _get(self, key: Any, traces: Any) -> Any:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = cast("UpstreamProtocol", connection.protocol)
            if not protocol.has_input:
                protocol.reuse()
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
    """Return the session with its retries switched off.

    By default it retries an idempotent request after a new connection closed, although LM Studio may have
    begun it.
    """
    session._retry_connection = False
    return session
