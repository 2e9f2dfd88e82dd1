"""Mends for faults of aiohttp, each of which can go when aiohttp has its own.

They reach into private parts of aiohttp 3.14; tests/test_aiohttp_mends.py fails when one isn't needed any
more, or doesn't fit.
"""

from __future__ import annotations

import asyncio
import functools
import select
import sys
from collections.abc import Callable
from typing import Any, cast

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import RequestPayloadError
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from yarl import URL


def exact_url(origin: str, target: str) -> URL:
    """Return a URL whose path and query go over the wire as they stand; yarl forgets an empty query's "?"."""
    url = URL(origin + target, encoded=True)
    if target.find("?") == len(target) - 1:
        url._cache["raw_path_qs"] = url.raw_path_qs + "?"
    return url


def _wake(body: StreamReader, error: Exception, cause: BaseException) -> None:
    """Make whoever reads the body raise the error, even one who was woken just now and goes on waiting."""
    set_exception(body, error, cause)
    body._loop.call_soon(set_exception, body, error, cause)


class _Resuming(BaseProtocol):
    """Resumes only what was paused.

    A StreamReader asks for it after every piece that is read, and aiohttp has the parser look at nothing each
    time, in case it was paused.
    """

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


class WakingResponseHandler(_Resuming, ResponseHandler):
    """Wakes whoever would wait for ever.

    When a body's framing turns out to be broken, aiohttp's C parser only tells whoever waits for the next
    response. And `sock_read` doesn't count before the request is written, so that a server which reads
    nothing holds up an upload without end.

    Nor does it start a timer with each piece of data: one is enough that looks, when it goes off, whether
    data came meanwhile.

    `on_data` is called after whatever came in; it must not raise. `is_unheard` tells that it was kept from an
    answer before, and that nothing came in since it was handed out again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.on_data: Callable[[], None] | None = None
        self.is_unheard = False
        self._due: float | None = None
        self._poller: Any = None  # a select.poll, which Windows has not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if sys.platform != "win32":
            self._poller = select.poll()
            self._poller.register(_descriptor(transport), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        self.is_unheard = False
        super().data_received(data)
        if self.on_data is not None:
            self.on_data()

    @property
    def has_input(self) -> bool:
        """Whether something came in that nobody has read."""
        if self.transport is None or self.should_close:
            return True
        if self._poller is None:
            return bool(select.select([_descriptor(self.transport)], [], [], 0)[0])
        return bool(self._poller.poll(0))

    def _drop_timeout(self) -> None:
        self._due = None

    def _reschedule_timeout(self) -> None:
        if not self._read_timeout:
            self._due = None
            return
        self._due = self._loop.time() + self._read_timeout
        handle = self._read_timeout_handle
        if handle is None:
            self._read_timeout_handle = self._loop.call_at(self._due, self._look)
        elif self._due < handle.when():
            handle.cancel()
            self._read_timeout_handle = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._read_timeout_handle = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._read_timeout_handle = self._loop.call_at(self._due, self._look)
        else:
            self._on_read_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        body = self._payload
        if exc is not None and body is not None and not body.is_eof():
            # aiohttp takes a reset for the end of a body that has no length.
            set_exception(body, aiohttp.ClientPayloadError("Response was reset"), exc)
        super().connection_lost(exc)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.start_timeout()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drop_timeout()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        body = self._payload
        super().set_exception(exc, *cause)
        if body is not None and not body.is_eof() and body.exception() is None:
            _wake(body, aiohttp.ClientPayloadError("Response framing is broken"), exc)


class WakingRequestHandler(_Resuming, RequestHandler):
    """The same for a client's body: its reader is told when the framing breaks, also one yet to begin."""

    __slots__ = ("_last_body",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last_body = EMPTY_PAYLOAD

    def data_received(self, data: bytes) -> None:
        known = self._request_count
        super().data_received(data)
        if self._request_count == known:
            return
        message, body = self._messages[-1]
        if not isinstance(message, _ErrInfo):
            self._last_body = body
        elif not self._last_body.is_eof() and self._last_body.exception() is None:
            _wake(self._last_body, RequestPayloadError("Request framing is broken"), message.exc)


class FreshConnector(aiohttp.TCPConnector):
    """Hands out an idle connection only if nothing came in on it since its last answer.

    A pooled connection with bytes to read was closed by LM Studio, or would answer the next request with
    something nobody asked for (aiohttp issue 13656). Asking the kernel before the request is written is what
    lets a POST never be sent twice.

    The connection used last comes first: it is the likeliest to be alive, and still in the processor's cache;
    and those that aren't needed grow old and are closed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A partial's type is that of what it makes, and mypy takes it to be exactly that.
        self._factory = cast(
            "functools.partial[ResponseHandler]", functools.partial(WakingResponseHandler, loop=self._loop)
        )

    async def _get(self, key: Any, traces: Any) -> Any:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = cast("WakingResponseHandler", connection.protocol)
            if not protocol.has_input:
                protocol.is_unheard = True
                return connection
            connection.close()
        return None

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        idle = self._conns[key]
        known = len(idle)
        super()._release(key, protocol, should_close=should_close)
        if len(idle) > known:
            idle.rotate(1)


def _descriptor(transport: asyncio.BaseTransport) -> int:
    return int(transport.get_extra_info("socket").fileno())
