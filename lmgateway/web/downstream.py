"""The client's side of a request: whether the head of a response is out, and how an error gets there."""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from ..access.credentials import Redaction
from ..aiohttp_private.relayed_response import RelayedResponse
from ..aiohttp_private.server_protocol import ServerProtocol, protocol_of
from ..errors import GatewayError
from .operations.areas import ApiStyle
from .responses import error_response

# How long a client may take to read what was sent before its response broke off.
_BREAK_OFF_SECONDS = 5


class Downstream:
    """Knows whether a head is out: until then an error becomes a response, after it a broken connection."""

    __slots__ = ("_request", "response")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        # The response whose head is out, or is just being sent.
        self.response: web.StreamResponse | None = None

    async def begin(
        self, status: int, reason: str, headers: CIMultiDict[str], *, join_body: bool
    ) -> AbstractStreamWriter:
        """Send LM Studio's head, with `join_body` together with the first bytes; return the body's writer."""
        response = RelayedResponse(status=status, reason=reason, headers=headers)
        request = self._request
        if request.version < (1, 1) and "Content-Length" not in headers:
            # Without chunks the connection's end is the body's.
            response.force_close()
        if join_body:
            response.join_head()
        writer = await response.prepare(request)
        if writer is None:
            raise RuntimeError("a response can be begun only once")
        return writer

    @property
    def connection(self) -> ServerProtocol:
        return protocol_of(self._request)

    def close(self) -> None:
        """Release the request, which refers to this, so that it is freed at once when it has ended."""
        del self._request

    def fail(
        self, error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction
    ) -> web.StreamResponse:
        """Return the error as a response of its own, or break off the one that is on its way."""
        request = self._request
        if self.response is not None:
            # Half a response must not look whole; aiohttp adds no end once the connection is closing.
            protocol_of(request).break_off(reset=request.version < (1, 1), seconds=_BREAK_OFF_SECONDS)
            return self.response
        response = error_response(error, style, request_id, redaction)
        if error.closes_connection or not request.content.is_eof():
            # The rest of the body is never read, so no other request can follow on this connection.
            response.force_close()
        return response
