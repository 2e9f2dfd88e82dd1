"""An error as the event of a stream, in each API's own form: for a response whose head was sent already."""

from __future__ import annotations

import secrets

import msgspec

from ..errors import GatewayError
from ..observe.clock import unix_time
from ..traffic.dialects import Protocol


def error_event(
    error: GatewayError, protocol: Protocol, request_id: str, *, before_created: bool = False
) -> bytes:
    """Return the event after which the API's clients expect nothing more.

    /v1/responses has `response.failed` and `error`. Codex reads only the first one. `before_created`: the
    client reads both, but has no `response.created` yet, without which OpenAI's `.stream()` helpers fail on
    `response.failed`. They report an `error` that has its members twice: as the API's event and as its body.
    """
    message, code = error.message, error.code
    body = {"message": message, "type": error.type, "param": None, "code": code}
    match protocol:
        case "openai":
            return _event({"error": body})
        case "messages":
            reason = {"type": error.type, "message": message}
            return _event({"type": "error", "error": reason, "request_id": request_id}, "error")
        case "native":
            reason = {"message": message, "type": error.type, "code": code}
            return _event({"type": "error", "error": reason}, "error")
        case "responses" if before_created:
            flat = {"sequence_number": 0, "code": code, "message": message, "param": None}
            return _event({"type": "error", **flat, "error": body}, "error")
        case "responses":
            failed = _failed_response({"code": code, "message": message})
            return _event({"type": "response.failed", "response": failed}, "response.failed")


def _failed_response(reason: dict[str, str]) -> dict[str, object]:
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(unix_time()),
        "status": "failed",
        "error": reason,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }


def _event(content: object, name: str = "") -> bytes:
    line = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (line, msgspec.json.encode(content))
