"""The pool of connections to LM Studio."""

from __future__ import annotations

import asyncio
import functools
from time import monotonic
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

from .upstream_protocol import Signs, UpstreamProtocol


class _Unheard:
    heard = False


class PooledConnection(Connection):
    """aiohttp's Connection without callbacks, which nothing here adds."""

    def close(self) -> None:
        if self._protocol is not None:
            super().close()

    def release(self) -> None:
        if (protocol := self._protocol) is not None:
            self._protocol = None
            self._connector._release(self._key, protocol)


class FreshConnector(aiohttp.TCPConnector):
    """Reuses an idle connection only if it has received nothing since its last response.

    If a pooled connection has bytes to read, LM Studio has closed it, or has sent bytes that would be taken
    for the next response (aiohttp issue 13656). The kernel is polled for that before a request is written, so
    a POST never has to be retried.

    The connection used last is reused first: it is the likeliest to be alive, and still in the processor's
    cache. The others stay idle until they are closed. There may be any number of connections.
    """

    def __init__(
        self, signs: Signs | None = None, *, keepalive_timeout: float = 15.0, **options: Any
    ) -> None:
        """`signs` as for UpstreamProtocol."""
        super().__init__(limit=0, keepalive_timeout=keepalive_timeout, **options)
        self._idle_seconds = keepalive_timeout
        # By task, the connection that it got last.
        self._given: WeakKeyDictionary[asyncio.Task[object], UpstreamProtocol] = WeakKeyDictionary()
        # functools.partial is invariant, so mypy rejects a partial of the subclass.
        self._factory = cast(
            "functools.partial[ResponseHandler]",
            functools.partial(UpstreamProtocol, loop=self._loop, signs=signs or _Unheard()),
        )

    def take_idle(self, key: ConnectionKey) -> PooledConnection | None:
        """Return an idle connection to be used, None if there is none.

        aiohttp's own connect() and release() take 3 % of the gateway's processor time per request more than
        this and `_release`, for limits, proxies and traces, which nothing here has.
        """
        idle = self._conns.get(key)
        while idle:
            protocol, since = idle.popleft()
            is_young = monotonic() - since <= self._idle_seconds
            if is_young and protocol.reuse():  # type: ignore[attr-defined] # an UpstreamProtocol
                self._acquired.add(protocol)
                return PooledConnection(self, key, protocol, self._loop)
            protocol.close()
        return None

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if (task := asyncio.current_task()) is not None:
            self._given[task] = connection.protocol  # type: ignore[assignment] # an UpstreamProtocol
        return connection

    def has_received(self) -> bool:
        """True if the connection that connect() gave this task last has received anything since."""
        task = asyncio.current_task()
        protocol = None if task is None else self._given.get(task)
        return protocol is None or protocol.has_received

    async def _get(self, key: ConnectionKey, traces: Any) -> Connection | None:
        return self.take_idle(key)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        idle = self._conns[key]
        # aiohttp's own has the timer set that closes idle connections, if it isn't set.
        if should_close or self._cleanup_handle is None or self._closed or protocol.should_close:
            known = len(idle)
            super()._release(key, protocol, should_close=should_close)
            if len(idle) == known:
                return  # it was closed
            idle.rotate(1)
        else:
            self._acquired.discard(protocol)
            idle.appendleft((protocol, monotonic()))
        protocol.is_untouched = True  # type: ignore[attr-defined] # an UpstreamProtocol


def without_retries(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Return the session with its retries switched off.

    By default it retries an idempotent request after a new connection closed, although LM Studio may have
    begun it.
    """
    session._retry_connection = False
    return session
