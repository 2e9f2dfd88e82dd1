"""What clients are sent: JSON of the gateway's own, errors among it, and LM Studio's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from ..aiohttp_private.relayed_response import RelayedResponse
from ..errors import GatewayError
from ..schema.errors import AnthropicError, AnthropicErrorBody, OpenAiError, OpenAiErrorBody, OwnError
from .places import ApiStyle

_SERVER = "lmgateway"


def finish_headers(response: web.StreamResponse) -> None:
    """Name this server in an answer of its own."""
    if not isinstance(response, RelayedResponse):
        response.headers["Server"] = _SERVER


def json_response(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def error_response(
    error: GatewayError, style: ApiStyle, request_id: str, *, redact: Callable[[str], str] = str
) -> web.Response:
    """Return the error in the shape that clients of this API parse.

    `redact` takes the key out of a text; an error may repeat what was sent where the key had no business.
    """
    body = error_body(error, style, request_id, redact=redact)
    response = json_response(body, status=error.status)
    response.headers.extend(error.headers)
    return response


def error_body(
    error: GatewayError, style: ApiStyle, request_id: str, *, redact: Callable[[str], str] = str
) -> OwnError | OpenAiError | AnthropicError:
    message = redact(error.message)
    match style:
        case "own":
            details = UNSET if error.details is None else _redacted(error.details, redact)
            return OwnError(error=error.title or message, details=details)
        case "openai":
            return OpenAiError(error=OpenAiErrorBody(message=message, type=error.type, code=error.code))
        case "anthropic":
            shape = AnthropicErrorBody(type=error.type, message=message)
            return AnthropicError(error=shape, request_id=request_id)


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item, redact) for name, item in value.items()}
    return value
