"""A client's connection: its time limits, and the response to malformed input."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from aiohttp import web

from ..aiohttp_private.parse_errors import is_malformed, is_too_long
from ..aiohttp_private.server_protocol import ServerProtocol
from ..config import Limits
from ..errors import (
    RETRY_SOON,
    BadRequest,
    GatewayEnding,
    GatewayError,
    HeadTooLarge,
    RequestTimeout,
    TooManyConnections,
    UriTooLong,
)
from ..observe.exchange import make_request_id
from ..web.responses import error_response, finish_headers
from ..web.state import CONTEXT
from .sockets import has_acknowledged_all

logger = logging.getLogger(__name__)

# How long a closed TLS connection waits for the client's close_notify, when everything else is acknowledged.
CLOSE_SECONDS = 0.2
_ENDING = "The gateway is stopping, and can't complete the request. Retry in a moment."


class ConnectionOwner(Protocol):
    """The part of ConnectionLimits that a connection uses."""

    current: Limits
    draining: bool
    linger_seconds: float

    def add(self, connection: ClientConnection) -> None: ...
    def discard(self, connection: ClientConnection) -> None: ...


class ClientConnection(ServerProtocol):
    """A connection whose parse errors are answered and logged without quoting the input.

    aiohttp quotes the malformed line in its response and its log, and that line may contain the key.
    """

    __slots__ = (
        "_active_at",
        "_delivered_at",
        "_head_began",
        "_head_size",
        "_in_first_line",
        "_is_refused",
        "_lingers",
        "_owner",
        "_taken",
        "_taken_at",
    )

    def __init__(self, server: web.Server, owner: ConnectionOwner, **options: Any) -> None:
        super().__init__(server, **options)
        self._owner = owner
        now = self.now()
        self._active_at = now
        # The first head's time limit starts with the connection, that of a later one with its first byte.
        self._head_began: float | None = now
        self._head_size = 0
        self._in_first_line = True
        self._is_refused = False
        self._lingers = False
        self._delivered_at: float | None = None
        self._taken, self._taken_at = 0, now

    # ── Input ────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._owner.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._owner.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._active_at = self.now()
        limit = self._owner.current.head_bytes
        if not data or not self.is_in_head:
            if self.body_received(data, limit):
                self._is_refused = self._lingers = True
            return
        if self._in_first_line:
            self._in_first_line = data.find(b"\n", 0, limit) < 0
        if self._head_began is None:
            self._head_began = self._active_at
        self._head_size += len(data)
        super().data_received(data)
        # heads_received() has reset the size to 0 if the head is complete.
        if self._head_size > limit:
            self.refuse(self._too_large())

    def heads_received(self, size: int, error: BaseException | None) -> None:
        limit = self._owner.current.head_bytes
        if error is not None:
            self.refuse(self._meaning(error))
        elif max(self._head_size, size) > limit and self.last_head_bytes() > limit:
            self.drop_last_head()
            self.refuse(self._too_large())
        self._head_began, self._head_size, self._in_first_line = None, 0, True

    def _meaning(self, error: BaseException) -> GatewayError:
        if is_too_long(error):
            return self._too_large()
        return BadRequest("The request is not valid HTTP.")

    def _too_large(self) -> GatewayError:
        if self._in_first_line:
            return UriTooLong("The request's target is longer than this gateway allows.")
        return HeadTooLarge("The request's head is larger than this gateway allows.")

    def refuse(self, error: GatewayError) -> None:
        """Respond to malformed input with this error, after the earlier requests, and close."""
        self._is_refused = True
        self.queue_error(error.status, error, error.message)

    # ── Time limits, checked once a second ───────────────────────────────────────────────────────────────

    @property
    def is_ending(self) -> bool:
        return self._owner.draining

    @property
    def is_idle(self) -> bool:
        """True while no byte of the next request was received."""
        return self.is_waiting and self._head_size == 0

    def seconds_inactive(self, now: float) -> float:
        return now - self._active_at

    def enforce_limits(self, now: float) -> None:
        """Close the connection, or refuse its request, if a time limit is exceeded."""
        limits = self._owner.current
        self.abort_if_delivered(now)
        if _is_over(now - self._stalled_since(now), limits.send_stall_ms):
            logger.info("%s stopped reading its response and is cut off", self.peername)
            self.abort()
        elif not self.is_waiting:
            return
        elif self._head_began is None:
            if _is_over(now - self._active_at, limits.idle_ms):
                self.force_close()
        elif _is_over(now - self._head_began, limits.head_ms):
            if self._head_size:
                self.refuse(RequestTimeout("The request's head took longer than this gateway waits."))
            else:
                self.force_close()

    def _stalled_since(self, now: float) -> float:
        """Return since when the client hasn't read its response; `now` if it is reading."""
        waiting, taken = self.unsent_bytes()
        if not waiting or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return self._taken_at

    # ── The end ──────────────────────────────────────────────────────────────────────────────────────────

    def abort_if_delivered(self, now: float) -> None:
        """Abort a closed TLS connection that waits only for the client's close_notify, which may never come.

        Called again and again. RFC 8446 section 6.1: neither side has to wait for it.
        """
        if not self.is_closing or not has_acknowledged_all(self.descriptor):
            self._delivered_at = None
        elif self._delivered_at is None:
            self._delivered_at = now
        elif now - self._delivered_at > CLOSE_SECONDS:
            self.abort()

    def interrupt(self) -> bool:
        """End the running request with an error; return whether a request was running."""
        request = self.running_request
        context = request.get(CONTEXT) if request is not None else None
        if context is None:
            return False
        context.cancellation.interrupt(GatewayEnding(_ENDING, headers=RETRY_SOON))
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            # The client disconnected before its response; aiohttp's start() ends the connection.
            raise exc
        if exc is not None and is_malformed(exc):  # input after a refused Upgrade
            exc = self._meaning(exc)
        if not isinstance(exc, GatewayError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = make_request_id()
        if not isinstance(exc, TooManyConnections):  # logged once for each address, because there are many
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
        await self.response_finished()
        self._active_at = self.now()
        if self._lingers:
            await self._linger()
        return finished

    async def _linger(self) -> None:
        """Discard input until the client disconnects, for at most `linger_seconds`."""
        self.read_on()
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        await asyncio.sleep(self._owner.linger_seconds)

    def log_exception(self, *args: Any, **options: Any) -> None:
        if is_malformed(options.get("exc_info")):
            logger.info("%s sent a malformed body", self.peername)
        else:
            super().log_exception(*args, **options)


def _is_over(seconds: float, limit_ms: int) -> bool:
    """True if a limit is exceeded; 0 is no limit."""
    return 0 < limit_ms < seconds * 1000
