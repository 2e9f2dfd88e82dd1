"""A client's connection: aiohttp's server protocol with public methods."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import RequestPayloadError
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from .flow_control import ResumesOnceProtocol, fail_reader
from .inline_tasks import without_tasks

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ServerProtocol(ResumesOnceProtocol, RequestHandler):
    """aiohttp's RequestHandler with public methods for its parser, queue and transport.

    If a request body's framing is broken, its reader raises, even if it starts reading only afterwards.
    aiohttp's C parser never wakes the reader.

    `on_writable` is called when the client's buffer has room again; it must not raise.
    """

    __slots__ = ("_followed", "_last_body", "_trailer_bytes", "now", "on_writable", "wire")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._last_body: StreamReader = EMPTY_PAYLOAD
        # The number of heads parsed when `_follow_last_message` ran last.
        self._followed = 0
        self._trailer_bytes = 0
        # The event loop's time, in seconds.
        self.now = self._loop.time
        self.on_writable: Callable[[], None] | None = None
        self.wire: asyncio.Transport

    # ── Events ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # aiohttp drops its reference when it begins to close the transport; a slow reader may keep it open.
        self.wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._loop = without_tasks(self._loop)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._request_count != self._followed:
            self._heads_parsed(len(data))

    def body_received(self, data: bytes, limit: int) -> bool:
        """Parse input within a body; return whether the body's trailers are longer than `limit`.

        Then the body's reader fails. aiohttp would hold 4 MiB of trailers, which take 7 MiB.
        """
        body = self._last_body
        before = body.total_bytes
        ServerProtocol.data_received(self, data)
        if body.total_bytes != before or body.is_eof():
            self._trailer_bytes = 0
            return False
        if b"\n" in data:  # a chunk extension has no line end; it isn't held
            self._trailer_bytes += len(data)
        if self._trailer_bytes <= limit:
            return False
        fail_reader(body, RequestPayloadError("Trailers are too long"), HttpProcessingError())
        return True

    async def response_finished(self) -> None:
        """To be called after finish_response(), which parses the input after a refused Upgrade."""
        if self._request_count != self._followed and self._messages:
            self._heads_parsed(sys.maxsize)
        if not self._last_body.is_eof():
            # aiohttp reads the rest next. An upload that was cancelled still waits for more of the body.
            await asyncio.sleep(0)

    def _heads_parsed(self, size: int) -> None:
        self._followed = self._request_count
        self.heads_received(size, self._follow_last_message())
        if len(self._messages) > 1 and not self._buffer_paused:
            # aiohttp would parse 32 requests, which may take 2 MiB. It resumes when it takes one of them.
            self._pause_reading_for_buffer()

    def heads_received(self, size: int, error: BaseException | None) -> None:
        """Called when heads were parsed, the last of them from at most `size` bytes of new input.

        If the last one is malformed, `error` is the reason, and it was removed from the queue.
        """

    def _follow_last_message(self) -> BaseException | None:
        """Remember the last parsed request's body. If it is malformed, dequeue it and return the reason."""
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
        """True while a request's head is being received."""
        return self._last_body.is_eof() and not self._upgraded

    def last_head_bytes(self) -> int:
        """Return the approximate size of the head that was parsed last."""
        message = cast("RawRequestMessage", self._messages[-1][0])
        return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)

    @property
    def queued_requests(self) -> int:
        return len(self._messages)

    def drop_last_head(self) -> None:
        """Remove the request that was parsed last from the queue."""
        self._messages.pop()

    def queue_error(self, status: int, error: BaseException, message: str) -> None:
        """Have `handle_error` respond with this, after the requests that are in the queue."""
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
        """The socket's file descriptor, -1 if it is closed."""
        wire_socket = self.wire.get_extra_info("socket")
        return -1 if wire_socket is None else int(wire_socket.fileno())

    @property
    def is_established(self) -> bool:
        """True since connection_made(), which TLS calls only after a successful handshake."""
        return hasattr(self, "wire")

    @property
    def is_closing(self) -> bool:
        """True if the connection was closed here: it ends when the client has received everything."""
        return self.transport is None or self._task_handler is None

    @property
    def can_write(self) -> bool:
        """False as soon as the transport is being closed, before anybody else learns that the client left."""
        return self.transport is not None and not self.wire.is_closing()

    @property
    def is_reading_paused(self) -> bool:
        """True while the socket isn't read, so that a client's disconnection goes unnoticed."""
        return self.transport is not None and (self._reading_paused or self._buffer_paused)

    def read_on(self) -> None:
        """Resume reading from the socket, whatever paused it."""
        self._resume_transport_reading()

    def limit_send_buffer(self, size: int) -> None:
        """Limit the kernel's buffer for a client that doesn't read, which otherwise grows to megabytes."""
        with suppress(OSError):  # the connection is closed
            self.wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def unsent_bytes(self) -> tuple[int, int]:
        """Return how many bytes of the running response are buffered, and how many were sent."""
        waiting = self.wire.get_write_buffer_size()
        request = self._current_request
        return waiting, (request.writer.output_size if request is not None else 0) - waiting

    @property
    def is_ending(self) -> bool:
        """True if the connection closes after the running response."""
        return False

    def abort(self) -> None:
        """Close the connection now, and discard the buffer."""
        self.wire.abort()

    def break_off(self, *, reset: bool, seconds: float) -> None:
        """Close the connection so that the client recognises the response as incomplete.

        The bytes written so far are still sent if the client reads them within `seconds`. With `reset` the
        connection is reset at once: an HTTP/1.0 client can't tell a closed connection from the body's end.
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
    """Return the request's connection. The runner makes only ServerProtocols."""
    return request.protocol  # type: ignore[return-value] # not cast(): it is called for each request
