"""Reading a request's body, within limits."""

from __future__ import annotations

import asyncio
import math
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Never, TypeVar

import msgspec
from aiohttp import web

from ..aiohttp_private.flow_control import read_buffered
from ..errors import (
    BadRequest,
    ContentTooLarge,
    GatewayError,
    Mistake,
    RequestTimeout,
    UnsupportedMediaType,
    ValidationFailed,
)
from ..traffic.content_coding import BodyDecoder
from ..traffic.short_body import SHORT_BYTES
from .held_bodies import HeldBody
from .state import CONTEXT, EXPECTS_CONTINUE, HELD_BODIES, TURNS
from .validation import is_about_a_fraction, mistake_of, mistakes, with_whole_numbers

MAX_ADMIN_BODY_BYTES = 1024**2
_SMALL_READ_BYTES = 16 * 1024

# msgspec raises ValueError for a number that is too large.
_NO_JSON = (msgspec.DecodeError, ValueError, RecursionError)
T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")
# Neither can be sent by a page's form.
_JSON_TYPE, _MERGE_PATCH_TYPE = "application/json", "application/merge-patch+json"


class Upload:
    """A request's body: read once, chunk by chunk, up to a limit.

    100 Continue is sent when the first chunk is read. `failure` is set if reading from the client failed:
    aiohttp's client, which sends the chunks on, wraps the exception in one of its own.
    """

    def __init__(self, request: web.Request, limit: int) -> None:
        """Raise ContentTooLarge if Content-Length is more than `limit`."""
        self._request = request
        self._limit = limit
        self.failure: GatewayError | None = None
        if (request.content_length or 0) > limit:
            self._refuse()

    def _refuse(self) -> Never:
        self.failure = ContentTooLarge(
            f"The body is larger than {self._limit} bytes, the limit on this path."
        )
        raise self.failure

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body while it is received. Raises ContentTooLarge, BadRequest, RequestTimeout."""
        limits, loop = self._request[CONTEXT].rules.config.limits, asyncio.get_running_loop()
        pause = limits.body_pause_ms / 1000 or math.inf
        due = loop.time() + (limits.body_ms / 1000 or math.inf)
        await self._invite()
        received = 0
        while chunk := await self._read(min(due, loop.time() + pause)):
            received += len(chunk)
            if received > self._limit:
                self._refuse()
            yield chunk
            if len(chunk) < _SMALL_READ_BYTES and not self._request.content.at_eof():
                # It may be one of many in aiohttp's buffer: a thousand chunks of one byte take a millisecond.
                await self._request.app[TURNS].next()

    def arrived(self, held: HeldBody) -> bytes | None:
        """Return the body if all of it was received together with the head.

        Raises ContentTooLarge, Overloaded.
        """
        content = self._request.content
        if not content.is_eof() or content.exception() is not None:
            return None
        body = read_buffered(content)
        if len(body) > self._limit:
            self._refuse()
        held.grow(len(body))
        return body

    async def read(self, held: HeldBody, coding: str | None = None) -> bytes | bytearray:
        """Return the whole body, decoded; the limit is also that of its decoded size.

        Raises ContentTooLarge, BadRequest, RequestTimeout, Overloaded.
        """
        if coding is None and (body := self.arrived(held)) is not None:
            return body
        # At once, and not only when all of it was sent.
        held.check(self._request.content_length or 0)
        # Not a list of pieces: a body sent byte by byte would take sixty times the memory that is counted.
        body_so_far = bytearray()
        async for piece in self.chunks() if coding is None else self._decoded(BodyDecoder(coding)):
            held.grow(len(piece))
            body_so_far += piece
        # A long body isn't copied once more.
        return body_so_far if len(body_so_far) > SHORT_BYTES else bytes(body_so_far)

    async def _decoded(self, decoder: BodyDecoder) -> AsyncIterator[bytes]:
        decoded = 0
        async for chunk in self.chunks():
            for piece in decoder.pieces(chunk):
                decoded += len(piece)
                if decoded > self._limit:
                    self._refuse()
                yield piece
                # A small body may decode to a large one; other requests run between the pieces.
                await self._request.app[TURNS].next()
        decoder.finish()

    async def _invite(self) -> None:
        if EXPECTS_CONTINUE in self._request:
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # Only an interim response: the writer must not count it as output of the final one.
            self._request.writer.output_size = 0

    async def _read(self, due: float) -> bytes:
        try:
            async with asyncio.timeout_at(due if due < math.inf else None):
                return await self._request.content.readany()
        except TimeoutError as exc:
            self.failure = RequestTimeout("The request's body was sent too slowly.")
            raise self.failure from exc
        except (web.RequestPayloadError, web.HTTPException) as exc:
            self.failure = BadRequest("The body broke off, or its framing is wrong.")
            raise self.failure from exc


async def read_json(request: web.Request, kind: type[T], *, may_hold_key: bool = False) -> T:
    """Return the request's JSON body as this Struct.

    `may_hold_key` is for a body that is neither stored nor sent on.

    Raises UnsupportedMediaType unless it is application/json (any web page's form could send another type)
    and can be decoded, ContentTooLarge, Overloaded, BadRequest if it isn't JSON or contains the key,
    ValidationFailed if it doesn't match the Struct.
    """
    return await _read(request, lambda body: _parsed(body, kind), may_hold_key=may_hold_key)


async def read_members(request: web.Request) -> dict[str, Any]:
    """Return the members of the request's JSON object, not validated yet, to be applied as a merge patch.

    Raises as `read_json`.
    """
    members = await _read(request, _any_json)
    if not isinstance(members, dict):
        raise ValidationFailed("Validation failed", details=[Mistake(path="", message="Expected an object")])
    return members


def validated(members: Mapping[str, Any], kind: type[T]) -> T:
    """Return the Struct with these members. Raises ValidationFailed with all mistakes."""
    value = with_whole_numbers(dict(members))
    if details := mistakes(value, kind):
        raise ValidationFailed("Validation failed", details=details)
    return msgspec.convert(value, kind)


async def _read(
    request: web.Request, parse: Callable[[bytes | bytearray], V], *, may_hold_key: bool = False
) -> V:
    types = (_JSON_TYPE, _MERGE_PATCH_TYPE) if request.method == "PATCH" else (_JSON_TYPE,)
    if request.content_type not in types:
        raise UnsupportedMediaType("Send the body as JSON, with 'Content-Type: application/json'.")
    context = request[CONTEXT]
    with HeldBody(request.app[HELD_BODIES], context.client, context.rules.config) as held:
        body = await Upload(request, MAX_ADMIN_BODY_BYTES).read(held, context.head.content_coding)
        body = body.removeprefix(BOM_UTF8)
        if not body:
            raise BadRequest("The body is empty. Send JSON, at least {}.")
        read = parse(body)
    # A key in it would be sent to LM Studio, published in events, and saved in the database.
    if not may_hold_key and any(map(context.head.redaction.holds_key, _texts(msgspec.to_builtins(read)))):
        raise BadRequest("The body contains the gateway's key. Send it as Authorization or X-API-Key.")
    return read


def _any_json(body: bytes | bytearray) -> Any:
    if len(body) > SHORT_BYTES:
        raise ContentTooLarge(f"The body is larger than {SHORT_BYTES} bytes, the limit on this path.")
    try:
        return msgspec.json.decode(body)
    except _NO_JSON as exc:
        raise BadRequest(f"The body is not JSON: {exc}") from exc


def _parsed(body: bytes | bytearray, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        return _second_look(body, kind, exc)
    except _NO_JSON as exc:
        raise BadRequest(f"The body is not JSON: {exc}") from exc


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in a decoded body, also its field names. Those of a list or an object are joined."""
    match value:
        case str():
            yield value
        case list() | tuple():
            # No key holds a NUL. Each text by itself would take 300 ms for a list of a megabyte.
            yield "\0".join([item for item in value if isinstance(item, str)])
            yield from chain.from_iterable(_texts(item) for item in value if not isinstance(item, str))
        case dict():
            yield "\0".join(value)
            yield from chain.from_iterable(map(_texts, value.values()))


def _second_look(body: bytes | bytearray, kind: type[T], first: msgspec.ValidationError) -> T:
    """Raise ValidationFailed with all mistakes, because msgspec stops at the first one.

    Returns the body if it is valid after all: msgspec rejects 8192.0, which JSON Schema and JavaScript treat
    as an integer. A long body isn't looked at again, because that could hold up other requests.
    """
    if len(body) > SHORT_BYTES:
        raise ValidationFailed("Validation failed", details=[mistake_of(first)]) from first
    try:
        value = with_whole_numbers(msgspec.json.decode(body))
    except _NO_JSON as exc:
        raise BadRequest(f"The body is not JSON: {exc}") from exc
    details = mistakes(value, kind)
    if not details and is_about_a_fraction(first):
        return msgspec.convert(value, kind)
    # `details` is empty if the mistake is in a repeated field: `value` has only the field's last value.
    raise ValidationFailed("Validation failed", details=details or [mistake_of(first)]) from first
