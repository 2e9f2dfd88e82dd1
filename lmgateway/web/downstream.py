"""The client's side of a request: whether a response's head was sent, and how to report an error."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from ..access.credentials import Redaction
from ..aiohttp_private.relayed_response import RelayedResponse, prepare_now, write_now
from ..aiohttp_private.server_protocol import ServerProtocol, protocol_of
from ..config import Queue
from ..errors import GatewayError
from ..traffic.dialects import Protocol
from ..traffic.headers import EVENT_STREAM
from ..traffic.keep_alives import is_codex, keep_alive
from ..traffic.plan import RelayOptions
from .codex import for_codex
from .error_events import error_event
from .operations.areas import ApiStyle
from .responses import error_response
from .waiting_streams import WaitingStreams

# How long a client may take to read what was sent before its response is broken off.
_BREAK_OFF_SECONDS = 5


class Downstream:
    """The response to a client, what a stream sends before LM Studio's first byte, and errors.

    Before its head is sent, an error becomes a response of its own. Later it breaks the connection off: after
    an event of the stream, if none of LM Studio's bytes was sent, else only some errors.
    """

    __slots__ = ("_events", "_request", "_waits", "_writer", "is_early", "on_begin", "response")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        # Called with a response before its head is sent.
        self.on_begin: Callable[[web.BaseRequest, web.StreamResponse], None]
        # The response whose head was sent, or is being sent.
        self.response: web.StreamResponse | None = None
        # The body's writer, and how an error is reported in it if it is a stream.
        self._writer: AbstractStreamWriter | None = None
        self._events: Protocol | None = None
        # What a stream that waits is one of, and how its keep-alives are sent.
        self._waits: tuple[WaitingStreams, RelayOptions, Queue] | None = None
        # Whether nothing but the gateway's own head and keep-alives was sent.
        self.is_early = False

    def keep_alive(
        self, streams: WaitingStreams, options: RelayOptions, queue: Queue, *, since: float
    ) -> None:
        """Send a head and keep-alives until end_waiting(), if the stream's request waits that long.

        `since` is when it arrived, by the monotonic clock. To be called when its body has been read.
        """
        dialect = options.dialect
        if queue.keepalive_ms and dialect is not None and dialect.generates:
            self._waits = streams, options, queue
            streams.add(self, since + queue.keepalive_ms / 1000)

    @property
    def is_waiting(self) -> bool:
        """True between keep_alive() and end_waiting()."""
        return self._waits is not None

    def end_waiting(self) -> None:
        """Send no more keep-alives."""
        if self._waits is not None:
            self._waits[0].remove(self)
            self._waits = None

    def send_keep_alive(self) -> None:
        """Send the next one, the first with the head, unless the waiting has ended just now."""
        if self._waits is None or (dialect := self._waits[1].dialect) is None:
            return
        streams, options, queue = self._waits
        streams.add(self, time.monotonic() + queue.keepalive_ms / 1000)
        connection, protocol = self.connection, dialect.protocol
        if connection.is_closing or not connection.can_write or connection.unsent_bytes()[0]:
            return  # the client has left, or doesn't read
        if self._writer is None:
            self._writer, self._events, self.is_early = self._early_head(), protocol, True
        codex = is_codex(self._request.headers)
        write_now(self._writer, keep_alive(protocol, options.path, queue.keepalive_chat, for_codex=codex))

    def _early_head(self) -> AbstractStreamWriter:
        headers = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = RelayedResponse(200, "OK", CIMultiDict(headers), self.on_begin)
        self._close_after(response)
        response.join_head()
        return prepare_now(response, self._request)

    async def begin(
        self,
        status: int,
        reason: str,
        headers: CIMultiDict[str],
        *,
        join_body: bool,
        events: Protocol | None = None,
    ) -> AbstractStreamWriter:
        """Send LM Studio's head and return the body's writer. `events` are those of a stream.

        With `join_body` the head is sent together with the first bytes of the body. A head that was sent
        early stands for it.
        """
        self.end_waiting()
        if self.is_early and self._writer is not None:
            self.is_early, self._events = False, events
            return self._writer
        response = RelayedResponse(status, reason, headers, self.on_begin)
        self._close_after(response)
        if join_body:
            response.join_head()
        writer = await response.prepare(self._request)
        if writer is None:
            raise RuntimeError("a response can be begun only once")
        self._writer, self._events = writer, events
        return writer

    def _close_after(self, response: RelayedResponse) -> None:
        """HTTP/1.0 has no chunks: the end of the connection marks the end of a body of unknown length."""
        if self._request.version < (1, 1) and "Content-Length" not in response.headers:
            response.force_close()

    @property
    def connection(self) -> ServerProtocol:
        return protocol_of(self._request)

    def close(self) -> None:
        """Break the reference cycles with the request, so that it is freed as soon as it has ended."""
        self.end_waiting()
        del self._request, self.on_begin
        self._writer = None

    def fail(
        self, error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction
    ) -> web.StreamResponse:
        """Return an error response, or the response whose head was sent, which is then broken off."""
        self.end_waiting()
        request = self._request
        if self.response is not None:
            is_event = (self.is_early or error.ends_stream_as_event) and self.connection.can_write
            if is_event and self._writer is not None and self._events is not None:
                before_created = self.is_early and not is_codex(request.headers)
                event = error_event(error, self._events, request_id, before_created=before_created)
                write_now(self._writer, redaction.redact(event.decode()).encode())
            # A partial response must not look complete. aiohttp doesn't end it on a closing connection.
            protocol_of(request).break_off(reset=request.version < (1, 1), seconds=_BREAK_OFF_SECONDS)
            return self.response
        if is_codex(request.headers):
            error = for_codex(error)
        response = error_response(error, style, request_id, redaction)
        if error.closes_connection or not request.content.is_eof():
            # The rest of the request's body isn't read, so the connection can't be reused.
            response.force_close()
        return response
