"""One client's connection: how long it may take, and what is answered to what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from ..aiohttp_mends import WakingRequestHandler
from ..errors import (
    RETRY_SOON,
    BadRequest,
    Ending,
    GatewayError,
    HeadTooLarge,
    RequestTimeout,
    TooManyConnections,
    UriTooLong,
)
from ..observe.exchange import make_request_id
from ..web.responses import error_response, finish_headers
from ..web.state import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection_limits import Connections

logger = logging.getLogger(__name__)

# What came in after a refusal is swallowed this long: closed at once, the connection would be reset, and the
# client might never read why.
LINGER_SECONDS = 2.0
_ENDING = "The gateway is being stopped and could wait no longer. Ask again in a moment."


class Connection(WakingRequestHandler):
    """A connection whose parse errors are answered and logged without quoting what was sent.

    aiohttp puts the malformed line into its answer and its log, and that line may hold the key.

    `on_writable` is called when the client takes more again; it must not raise.
    """

    __slots__ = (
        "_active_at",
        "_connections",
        "_head_began",
        "_head_size",
        "_in_first_line",
        "_is_refused",
        "_lingers",
        "_taken",
        "_taken_at",
        "on_writable",
        "wire",
    )

    def __init__(self, server: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self.wire: asyncio.Transport
        now = self._loop.time()
        self._active_at = now
        # The first head is due from the start; a later one from its first byte.
        self._head_began: float | None = now
        self._head_size = 0
        self._in_first_line = True
        self._is_refused = False
        self._lingers = False
        self._taken, self._taken_at = 0, now
        self.on_writable: Callable[[], None] | None = None

    # ── What comes in ────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # `transport` is forgotten as soon as it is to be closed, which may take a slow reader for ever.
        self.wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._connections.add(self)

    @property
    def address(self) -> str:
        return str(self.peername[0]) if self.peername else ""

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._connections.discard(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._active_at = self._loop.time()
        belongs_to_head = self._last_body.is_eof() and not self._upgraded
        known = self._request_count
        if belongs_to_head and self._in_first_line:
            self._in_first_line = data.find(b"\n", 0, self._connections.limits.head_bytes) < 0
        super().data_received(data)
        limit = self._connections.limits.head_bytes
        if self._request_count != known:
            message, _ = self._messages[-1]
            if isinstance(message, _ErrInfo):
                self._messages.pop()
                self.refuse(self._meaning(message.exc))
            elif self._head_size + len(data) > limit and _size(message) > limit:
                self._messages.pop()
                self.refuse(self._too_large())
            self._head_began, self._head_size, self._in_first_line = None, 0, True
        elif belongs_to_head and data:
            if self._head_began is None:
                self._head_began = self._active_at
            self._head_size += len(data)
            if self._head_size > limit:
                self.refuse(self._too_large())

    def _meaning(self, exc: BaseException) -> GatewayError:
        if isinstance(exc, LineTooLong):
            return self._too_large()
        return BadRequest("The request is not valid HTTP.")

    def _too_large(self) -> GatewayError:
        if self._in_first_line:
            return UriTooLong("The request's target is longer than this gateway takes.")
        return HeadTooLarge("The request's head is larger than this gateway takes.")

    def refuse(self, error: GatewayError) -> None:
        """Answer what hasn't become a request, after the requests before it, and close."""
        self._is_refused = True
        self._messages.append((_ErrInfo(error.status, error, error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ── What takes too long, looked at once a second ─────────────────────────────────────────────────────

    @property
    def is_ending(self) -> bool:
        """Whether the answer to the running request is its last one."""
        return self._connections.draining

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing is there yet."""
        return self._is_waiting and self._head_size == 0

    @property
    def _is_waiting(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    @property
    def is_deaf(self) -> bool:
        """Whether nothing is being read from it, so that nobody would hear its client leave."""
        return self.transport is not None and (self._reading_paused or self._buffer_paused)

    @property
    def descriptor(self) -> int:
        return int(self.wire.get_extra_info("socket").fileno())

    def seconds_inactive(self, now: float) -> float:
        return now - self._active_at

    def look(self, now: float) -> None:
        """End what took too long."""
        limits = self._connections.limits
        if _is_over(now - self._untaken_since(now), limits.send_stall_ms):
            logger.info("%s takes nothing of what it is sent, and is cut off", self.peername)
            self.wire.abort()
        elif not self._is_waiting:
            return
        elif self._head_began is None:
            if _is_over(now - self._active_at, limits.idle_ms):
                self.force_close()
        elif _is_over(now - self._head_began, limits.head_ms):
            if self._head_size:
                self.refuse(RequestTimeout("The request's head took longer than this gateway waits."))
            else:
                self.force_close()

    def _untaken_since(self, now: float) -> float:
        """Return since when the client takes nothing of what waits for it; now, if it does."""
        waiting = self.wire.get_write_buffer_size()
        request = self._current_request
        taken = (request.writer.output_size if request is not None else 0) - waiting
        if not waiting or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return self._taken_at

    # ── The end ──────────────────────────────────────────────────────────────────────────────────────────

    def interrupt(self) -> bool:
        """End the running request with an error that its client can tell from an end; return if one runs."""
        request = self._current_request
        context = request.get(CONTEXT) if request is not None else None
        if context is None:
            return False
        context.cancellation.interrupt(Ending(_ENDING, headers=RETRY_SOON))
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            # The client left before its answer; start() knows what to do.
            raise exc
        if isinstance(exc, HttpProcessingError):  # what stood behind a request for another protocol
            exc = self._meaning(exc)
        if not isinstance(exc, GatewayError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = make_request_id()
        if not isinstance(exc, TooManyConnections):  # those are many, and said to be so once
            self._lingers = True
            logger.info("%s sent a malformed request %s: %s", request.remote, request_id, exc.code)
        response = error_response(exc, "own", request_id)
        response.headers["X-Request-Id"] = request_id
        finish_headers(response)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        self._active_at = self._loop.time()
        if self._lingers:
            await self._linger()
        return finished

    async def _linger(self) -> None:
        """Give the client time to read its answer before the connection ends; its leaving ends this too."""
        self._resume_transport_reading()
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        await asyncio.sleep(LINGER_SECONDS)

    def log_exception(self, *args: Any, **options: Any) -> None:
        if isinstance(options.get("exc_info"), (HttpProcessingError, web.RequestPayloadError)):
            logger.info("%s sent a malformed body", self.peername)
        else:
            super().log_exception(*args, **options)


def _size(message: RawRequestMessage) -> int:
    """Return about how many bytes a head took."""
    return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)


def _is_over(seconds: float, limit_ms: int) -> bool:
    """Tell whether a limit is exceeded; 0 is none."""
    return 0 < limit_ms < seconds * 1000
