"""The gateway's own errors as OpenAPI examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from ...access.callers import HOW_TO_SEND
from ...errors import GatewayError, ModelNotFound, ModelNotLoaded, Unauthorized, ValidationFailed
from ...schema.errors import AnthropicError, OpenAiError, OwnError
from ..operations.areas import ApiStyle
from ..operations.examples import REQUEST_ID
from ..responses import error_body

SHAPES: dict[ApiStyle, type[Struct]] = {
    "own": OwnError,
    "openai": OpenAiError,
    "anthropic": AnthropicError,
}
HEADER_EXAMPLES = {
    "WWW-Authenticate": "Bearer",
    "Allow": "GET, HEAD",
    "Retry-After": "1",
    "X-Refused-Reason": ModelNotLoaded.code,
}


def meaning(kind: type[GatewayError]) -> str:
    if kind is GatewayError:
        return "The gateway itself failed. Its log has the cause, with the request's id."
    return inspect.cleandoc(kind.__doc__ or "")


def by_status(kinds: Iterable[type[GatewayError]]) -> dict[int, list[type[GatewayError]]]:
    """Group the kinds by status, without duplicates, in the order of status and code."""
    groups: dict[int, list[type[GatewayError]]] = {}
    for kind in sorted(set(kinds), key=lambda kind: (kind.status, kind.code)):
        groups.setdefault(kind.status, []).append(kind)
    return groups


def example(kind: type[GatewayError], style: ApiStyle) -> Any:
    """Return an example of the error's JSON, made by the code that renders real errors."""
    return msgspec.to_builtins(error_body(_instance(kind), style, REQUEST_ID))


def _instance(kind: type[GatewayError]) -> GatewayError:
    if kind is ValidationFailed:
        path, message = "loadConfig.contextLenght", "Unknown field; did you mean contextLength?"
        return kind("Validation failed", details=[{"path": path, "message": message}])
    if kind is ModelNotFound:
        near = ["qwen2.5-7b-instruct"]
        sentence = f"LM Studio has no model qwen2.5-7b. The nearest on its disk: {', '.join(near)}."
        return kind(sentence, details={"near": near})
    if kind is Unauthorized:
        return kind(HOW_TO_SEND)
    return kind(meaning(kind))
