"""One client's connection, as aiohttp's server has it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import RequestPayloadError
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from .flow_control import ResumesOnceProtocol, fail_reader

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ServerProtocol(ResumesOnceProtocol, RequestHandler):
    """aiohttp's RequestHandler, whose parser, queue and transport are reached by public methods.

    A client's body fails its reader when the framing breaks, also one that a handler has yet to begin with;
    aiohttp's C parser fails nobody.

    `on_writable` is called when the client's buffer has room again; it must not raise.
    """

    __slots__ = ("_followed", "_last_body", "now", "on_writable", "wire")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._last_body: StreamReader = EMPTY_PAYLOAD
        # How many heads were parsed when the last one was looked at.
        self._followed = 0
        # The event loop's time, in seconds.
        self.now = self._loop.time
        self.on_writable: Callable[[], None] | None = None
        self.wire: asyncio.Transport

    # ── Events ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # aiohttp forgets its transport as soon as it is to be closed, which a slow reader may delay for ever.
        self.wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._request_count != self._followed:
            self._followed = self._request_count
            self.heads_received(len(data), self._follow_last_message())

    def response_finished(self) -> None:
        """To be called after finish_response(), which parses what arrived behind a refused Upgrade."""
        if self._request_count != self._followed and self._messages:
            self._followed = self._request_count
            self.heads_received(sys.maxsize, self._follow_last_message())

    def heads_received(self, size: int, error: BaseException | None) -> None:
        """Called when heads were parsed, the last of them from at most `size` bytes of new input.

        `error` is why the last one is malformed; it isn't in the queue then.
        """

    def _follow_last_message(self) -> BaseException | None:
        """Remember the body of the request parsed last. Take a malformed one from the queue; return why."""
        message, body = self._messages[-1]
        if not isinstance(message, _ErrInfo):
            self._last_body = body
            return None
        if not self._last_body.is_eof() and self._last_body.exception() is None:
            fail_reader(self._last_body, RequestPayloadError("Request framing is broken"), message.exc)
        self._messages.pop()
        return message.exc

    # ── The parser and the queue of requests ─────────────────────────────────────────────────────────────

    @property
    def is_in_head(self) -> bool:
        """True while what arrives belongs to a request's head."""
        return self._last_body.is_eof() and not self._upgraded

    def last_head_bytes(self) -> int:
        """Return about how many bytes the head took that was parsed last."""
        message = cast("RawRequestMessage", self._messages[-1][0])
        return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)

    def drop_last_head(self) -> None:
        """Take the request parsed last out of the queue."""
        self._messages.pop()

    def queue_error(self, status: int, error: BaseException, message: str) -> None:
        """Have `handle_error` answer this, after the requests that are in the queue."""
        self._messages.append((_ErrInfo(status, error, message), EMPTY_PAYLOAD))
        if self.is_waiting:
            cast("asyncio.Future[None]", self._waiter).set_result(None)

    @property
    def is_waiting(self) -> bool:
        """True while no request is running."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def running_request(self) -> web.BaseRequest | None:
        return self._current_request

    # ── The transport ────────────────────────────────────────────────────────────────────────────────────

    @property
    def address(self) -> str:
        return str(self.peername[0]) if self.peername else ""

    @property
    def descriptor(self) -> int:
        return int(self.wire.get_extra_info("socket").fileno())

    @property
    def is_reading_paused(self) -> bool:
        """True while nothing is read from the socket, so that the client's leaving goes unnoticed."""
        return self.transport is not None and (self._reading_paused or self._buffer_paused)

    def read_on(self) -> None:
        """Read from the socket again, whatever paused it."""
        self._resume_transport_reading()

    def unsent_bytes(self) -> tuple[int, int]:
        """Return how many bytes of the running response wait in the buffer, and how many left it."""
        waiting = self.wire.get_write_buffer_size()
        request = self._current_request
        return waiting, (request.writer.output_size if request is not None else 0) - waiting

    @property
    def is_ending(self) -> bool:
        """True if the response to the running request is the connection's last one."""
        return False

    def abort(self) -> None:
        """Close the connection now; what waits in the buffer is lost."""
        self.wire.abort()

    def break_off(self, *, reset: bool, seconds: float) -> None:
        """Close the connection so that its client sees the response break off.

        The bytes written so far are still sent if the client takes them within so many seconds. With `reset`
        it is reset at once: the client of HTTP/1.0 can't tell a closed connection from the body's end.
        """
        if reset:
            self.wire.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            self.wire.abort()
        else:
            self.wire.close()
            self._loop.call_later(seconds, self.wire.abort)


def protocol_of(request: web.BaseRequest) -> ServerProtocol:
    """Return the connection that a request came over; the runner makes no other kind."""
    return request.protocol  # type: ignore[return-value] # not cast(): it is called for each request


def is_too_long(error: BaseException) -> bool:
    """True for a parse error about a line that is longer than the parser takes."""
    return isinstance(error, LineTooLong)


def is_malformed(error: BaseException | None) -> bool:
    """True for an error of the parser, in a head or in a body."""
    return isinstance(error, (HttpProcessingError, RequestPayloadError))
