"""What clients are sent: JSON of the gateway's own, errors among it, and LM Studio's answers."""

from __future__ import annotations

from email.utils import formatdate
from typing import cast

import msgspec
from aiohttp import web
from aiohttp.http_writer import StreamWriter
from msgspec import UNSET

from ..access.credentials import BY_SHAPE, Redaction
from ..errors import GatewayError
from ..schema.errors import AnthropicError, AnthropicErrorBody, OpenAiError, OpenAiErrorBody, OwnError
from .operations.areas import ApiStyle

_SERVER = "lmgateway"
_NO_CONTENT = 204


class RelayedResponse(web.StreamResponse):
    """LM Studio's answer, with the header fields that it came with."""

    async def _prepare_headers(self) -> None:
        # aiohttp's own invents a type and a server, and loses the length of a 304, which isn't its body's but
        # that of what the client has already (RFC 9110 section 8.6).
        request = cast("web.BaseRequest", self._req)
        writer = cast("StreamWriter", self._payload_writer)
        fields = self._headers
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        if self._must_be_empty_body:
            if self.status == _NO_CONTENT:
                fields.popall("Content-Length", None)
        else:
            writer.length = self.content_length
            if writer.length is None and request.version >= (1, 1):
                writer.enable_chunking()
                fields["Transfer-Encoding"] = "chunked"
        if "Date" not in fields:  # RFC 9110 section 6.6.1
            fields["Date"] = formatdate(usegmt=True)
        if not self._keep_alive:
            fields["Connection"] = "close"
        elif request.version < (1, 1):
            fields["Connection"] = "keep-alive"

    async def begin(self, request: web.BaseRequest) -> StreamWriter:
        """Prepare it, and return what its body is written to: a layer less for each token."""
        return cast("StreamWriter", await self.prepare(request))

    def join_head(self) -> None:
        """Send the head together with the body's first bytes, which are there already."""
        self._send_headers_immediately = False


def finish_headers(response: web.StreamResponse) -> None:
    """Name this server in an answer of its own."""
    if not isinstance(response, RelayedResponse):
        response.headers["Server"] = _SERVER


def json_response(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def error_response(
    error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction = BY_SHAPE
) -> web.Response:
    """Return the error in the shape that clients of this API parse.

    It is redacted, because it may repeat what was sent where a key had no business.
    """
    body = error_body(error, style, request_id, redaction)
    response = json_response(body, status=error.status)
    response.headers.extend(error.headers)
    return response


def error_body(
    error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction = BY_SHAPE
) -> OwnError | OpenAiError | AnthropicError:
    message = redaction.redact(error.message)
    match style:
        case "own":
            details = UNSET if error.details is None else redaction.redact_json(error.details)
            return OwnError(error=error.title or message, details=details)
        case "openai":
            return OpenAiError(error=OpenAiErrorBody(message=message, type=error.type, code=error.code))
        case "anthropic":
            shape = AnthropicErrorBody(type=error.type, message=message)
            return AnthropicError(error=shape, request_id=request_id)
