"""The gateway's own JSON responses, and its errors in each API's shape."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import UNSET

from ..access.credentials import BY_SHAPE, Redaction
from ..errors import REFUSED_REASON, GatewayError
from ..schema.errors import AnthropicError, AnthropicErrorBody, OpenAiError, OpenAiErrorBody, OwnError
from .operations.areas import ApiStyle

_SERVER = "lmgateway"


def finish_headers(response: web.StreamResponse) -> None:
    """Set the Server header of a response that isn't relayed from LM Studio."""
    response.headers["Server"] = _SERVER


def json_response(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def error_response(
    error: GatewayError, style: ApiStyle, request_id: str, redaction: Redaction = BY_SHAPE
) -> web.Response:
    """Return the error in the shape of this API.

    It is redacted, because its message may quote a part of the request that contains a key by mistake.
    """
    body = error_body(error, style, request_id, redaction)
    response = json_response(body, status=error.status)
    response.headers.extend(error.headers)
    if REFUSED_REASON in error.header_names:
        response.headers[REFUSED_REASON] = error.code
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
