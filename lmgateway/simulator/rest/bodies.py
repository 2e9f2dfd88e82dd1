"""Reading request bodies and writing answers."""

from typing import TypeVar

import msgspec
from aiohttp import web

from ..engine.prompt import Limits, Prompt, Sampling
from .errors import ApiError

T = TypeVar("T")


Json = dict[str, object]


class InferenceBody(Sampling, frozen=True, kw_only=True):
    """What every request for words may say."""

    model: str = ""
    stream: bool | None = False
    ttl: float | None = None
    """Seconds; sets the idle time of a model that this request loads just in time."""

    def sampling(self) -> Sampling:
        return msgspec.convert(self, Sampling, from_attributes=True)

    def as_prompt(self) -> Prompt:
        """What the model is to do, as each API puts it."""
        raise NotImplementedError


class CompletionBody(InferenceBody, frozen=True, kw_only=True):
    """OpenAI's two older endpoints share this much."""

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
    """Content-Type isn't looked at. Raises ApiError 400 for what isn't JSON or lacks a field."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # A missing field or a wrong type is a DecodeError too. Bad UTF-8 and too many brackets are none.
        raise ApiError(400, f"Invalid request body: {exc}") from exc


def json_response(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


def as_strings(value: str | list[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
