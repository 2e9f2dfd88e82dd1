"""The client's side of a request: whether a response's head was sent, and how to report an error."""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from ..access.credentials import Redaction
from ..aiohttp_private.relayed_response import RelayedResponse, write_now
from ..aiohttp_private.server_protocol import ServerProtocol, protocol_of
from ..errors import GatewayError
from ..traffic.dialects import Protocol
from .error_events import error_event
from .operations.areas import ApiStyle
from .responses import error_response

# How long a client may take to read what was sent before its response is broken off.
_BREAK_OFF_SECONDS = 5


class Downstream:
    """The response to a client, and how an error is reported.

    Before its head is sent, an error becomes a response of its own. Later it breaks the connection off, some
    errors after an event of the stream.
    """

    __slots__ = ("_events", "_request", "_writer", "response")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        # The response whose head was sent, or is being sent.
        self.response: web.StreamResponse | None = None
        # The body's writer, and how an error is reported in it if it is a stream.
        self._writer: AbstractStreamWriter | None = None
        self._events: Protocol | None = None

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

        With `join_body` the head is sent together with the first bytes of the body.
        """
        response = RelayedResponse(status, reason, headers)
        request = self._request
        if request.version < (1, 1) and "Content-Length" not in headers:
            # HTTP/1.0 has no chunks: the end of the connection marks the end of the body.
            response.force_close()
        if join_body:
            response.join_head()
        writer = await response.prepare(request)
        if writer is None:
            raise RuntimeError("a response can be begun only once")
        self._writer, self._events = writer, events
        return writer

    @property
    def connection(self) -> ServerProtocol:
        return protocol_of(self._request)

    def close(self) -> None:
        """Break the reference cycle with the request, so that it is freed as soon as it has ended."""
        del self._request
        self._writer = None

    def fail(
        self, error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction
    ) -> web.StreamResponse:
        """Return an error response, or the response whose head was sent, which is then broken off."""
        request = self._request
        if self.response is not None:
            if error.ends_stream_as_event and self._writer is not None and self._events is not None:
                event = error_event(error, self._events, request_id)
                write_now(self._writer, redaction.redact(event.decode()).encode())
            # A partial response must not look complete. aiohttp doesn't end it on a closing connection.
            protocol_of(request).break_off(reset=request.version < (1, 1), seconds=_BREAK_OFF_SECONDS)
            return self.response
        response = error_response(error, style, request_id, redaction)
        if error.closes_connection or not request.content.is_eof():
            # The rest of the request's body isn't read, so the connection can't be reused.
            response.force_close()
        return response
