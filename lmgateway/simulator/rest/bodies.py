"""Decodes request bodies."""

import re
from typing import TypeVar

import msgspec
from aiohttp import web

from ..engine.prompt import Limits, Sampling
from .errors import ApiError

T = TypeVar("T")

Json = dict[str, object]

_MISSING_FIELD = re.compile("Object missing required field `(\\w+)`")


class InferenceBody(Sampling, frozen=True, kw_only=True):
    """The fields that all requests for text share."""

    model: str = ""
    stream: bool | None = False
    ttl: float | None = None
    """Seconds; sets the idle time of a model that this request loads just in time."""

    def sampling(self) -> Sampling:
        return msgspec.convert(self, Sampling, from_attributes=True)


class CompletionBody(InferenceBody, frozen=True, kw_only=True):
    """The fields that OpenAI's two older endpoints share."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    stream_options: Json | None = None

    def limits(self) -> Limits:
        newer = self.max_completion_tokens
        return Limits(self.max_tokens if newer is None else newer, as_strings(self.stop))

    def wants_usage_chunk(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


async def read_body(request: web.Request, kind: type[T]) -> T:
    """Decode a body, whatever its Content-Type. Raises ApiError 400 for invalid JSON or a missing field."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # DecodeError includes missing fields and wrong types, but not invalid UTF-8 or too deep nesting.
        missing = _MISSING_FIELD.fullmatch(str(exc))
        text = f"Invalid request body: {exc}" if missing is None else f"'{missing[1]}' field is required"
        raise ApiError(400, text) from exc


def as_strings(value: str | list[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
