"""What clients are sent: JSON of the gateway's own, errors among it, and LM Studio's answers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from ..errors import GatewayError
from .places import ApiStyle

_SERVER = "lmgateway"
_INVENTED_BY_AIOHTTP = ("Content-Type", "Server")


class RelayedResponse(web.StreamResponse):
    """LM Studio's answer, with the header fields that it came with."""

    def __init__(self, status: int, reason: str, fields: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason, headers=fields)
        self.fields = fields

    def join_head(self) -> None:
        """Send the head together with the body's first bytes, which are there already."""
        self._send_headers_immediately = False


def finish_headers(response: web.StreamResponse) -> None:
    """Undo what aiohttp made up while preparing a head that is about to be written."""
    if not isinstance(response, RelayedResponse):
        response.headers["Server"] = _SERVER
        return
    for name in _INVENTED_BY_AIOHTTP:
        if name not in response.fields:
            response.headers.popall(name, None)
    if response.status == 304 and "Content-Length" in response.fields:
        # The length of what the client has already (RFC 9110 section 8.6); aiohttp takes it for a body's.
        response.headers["Content-Length"] = response.fields["Content-Length"]


def json_response(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def error_response(
    error: GatewayError, style: ApiStyle, request_id: str, *, redact: Callable[[str], str] = str
) -> web.Response:
    """Return the error in the shape that clients of this API parse.

    `redact` takes the key out of a text; an error may repeat what was sent where the key had no business.
    """
    body: dict[str, object]
    message, details = redact(error.message), _redacted(error.details, redact)
    match style:
        case "own":
            body = {"error": error.title or message}
            if details is not None:
                body["details"] = details
        case "openai":
            shape = {"message": message, "type": error.type, "param": None, "code": error.code}
            body = {"error": shape}
        case "anthropic":
            shape = {"type": error.type, "message": message}
            body = {"type": "error", "error": shape, "request_id": request_id}
    response = json_response(body, status=error.status)
    response.headers.extend(error.headers)
    return response


def _redacted(value: object, redact: Callable[[str], str]) -> object:
    """Return JSON with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item, redact) for name, item in value.items()}
    return value
