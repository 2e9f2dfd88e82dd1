"""A connection to LM Studio: aiohttp's client protocol."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from .flow_control import ResumesOnceProtocol, fail_reader

# A heartbeat of `102 Processing` every few seconds may last for hours; an endless row of them may not.
MAX_INTERIM_RESPONSES = 1000
_SWITCHING_PROTOCOLS = 101


class Signs(Protocol):
    """`heard` is set whenever data is received."""

    heard: bool


class UpstreamProtocol(ResumesOnceProtocol, ResponseHandler):
    """aiohttp's ResponseHandler with four bugs fixed, whose effects are:

    - If a body's framing is broken, the C parser fails only the reader of the *next* response.
    - A reset counts as the end of a body without a length.
    - `sock_read` isn't applied while the request is written, so a server that doesn't read blocks an upload
      for ever.
    - An interim response (1xx) ends `sock_read`. Here it doesn't even extend it.

    The read timeout doesn't set a timer for each piece of data: when the timer expires, it is set again if
    data was received in the meantime.

    `on_data` is called after any input; it must not raise. `has_received` is true if anything was received
    since the connection was made or taken from the pool. `is_untouched` is true for a pooled connection
    that has received nothing since its last response: an idempotent request lost on it may be retried.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, signs: Signs) -> None:
        super().__init__(loop)
        self._signs = signs
        self.on_data: Callable[[], None] | None = None
        self.is_untouched = self.has_received = False
        self._deadline: float | None = None
        # Until the final response's head is complete: the deadline that no interim response extends.
        self._awaits_head = True
        self._head_due: float | None = None
        self._interim_responses = 0
        self._poller: Any = None  # a select.poll, which Windows doesn't have

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if sys.platform != "win32":
            self._poller = select.poll()
            self._poller.register(_descriptor(transport), select.POLLIN)

    def write(self, data: bytes) -> None:
        """Write without waiting. Raises ClientConnectionResetError."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.is_untouched = False
        self._signs.heard = self.has_received = True
        super().data_received(data)
        if self.is_untouched and self.should_close:  # released at the response's end, with input behind it
            self.is_untouched = False
        if self.on_data is not None:
            self.on_data()

    def reuse(self) -> bool:
        """Prepare a pooled connection for another request.

        Return False if it can't be used: it has ended, or the kernel or the parser has unsolicited bytes.
        """
        transport = self.transport
        if (
            transport is None
            or transport.is_closing()
            or not self.is_untouched
            or self._exception is not None
        ):
            return False
        if self._poller is None:
            has_input = bool(select.select([_descriptor(transport)], [], [], 0)[0])
        else:
            has_input = bool(self._poller.poll(0))
        self._awaits_head, self._head_due, self._interim_responses = True, None, 0
        self.has_received = False
        return not has_input

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by data_received() with the head of each response, interim ones included."""
        code = data[0].code
        if not 100 <= code < 200 or code == _SWITCHING_PROTOCOLS:
            self._awaits_head, self._head_due = False, None
            super().feed_data(data, size)
            return
        self._interim_responses += 1
        if self._interim_responses >= MAX_INTERIM_RESPONSES:
            self.set_exception(HttpProcessingError(code=502, message="Too many interim responses"))
        elif self._head_due is not None and self._loop.time() >= self._head_due:
            self._on_read_timeout()
        else:
            super().feed_data(data, size)

    def start_timeout(self) -> None:
        self._reschedule_timeout()
        if self._awaits_head:
            self._head_due = self._deadline

    def _drop_timeout(self) -> None:
        self._deadline = self._head_due

    def _reschedule_timeout(self) -> None:
        if not self._read_timeout:
            self._deadline = None
            return
        self._deadline = self._loop.time() + self._read_timeout
        handle = self._read_timeout_handle
        if handle is None:
            self._read_timeout_handle = self._loop.call_at(self._deadline, self._check_deadline)
        elif self._deadline < handle.when():
            handle.cancel()
            self._read_timeout_handle = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._read_timeout_handle = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._read_timeout_handle = self._loop.call_at(self._deadline, self._check_deadline)
        else:
            self._on_read_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        body = self._payload
        if exc is None or body is None or body.is_eof():
            super().connection_lost(exc)
        else:
            failure = aiohttp.ClientPayloadError("Response was reset")
            set_exception(body, failure, exc)
            super().connection_lost(exc)
            # The parser has set an error that says only that the body is incomplete.
            body.set_exception(failure)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.start_timeout()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._head_due = None
        self._drop_timeout()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        body, self._head_due = self._payload, None
        super().set_exception(exc, *cause)
        if body is not None and not body.is_eof() and body.exception() is None:
            broken = aiohttp.ClientPayloadError("Response framing is broken")
            fail_reader(body, exc if isinstance(exc, aiohttp.ServerTimeoutError) else broken, exc)


def _descriptor(transport: asyncio.BaseTransport) -> int:
    return int(transport.get_extra_info("socket").fileno())
