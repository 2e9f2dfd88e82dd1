"""Reading what a client sends, within limits."""

from __future__ import annotations

import asyncio
import math
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Never, TypeVar

import msgspec
from aiohttp import web

from ..errors import (
    BadRequest,
    ContentTooLarge,
    GatewayError,
    RequestTimeout,
    UnsupportedMediaType,
    ValidationFailed,
)
from ..schema.common import RequestBody
from ..traffic.content_coding import BodyDecoder
from .state import CONTEXT, EXPECTS_CONTINUE
from .validation import is_about_a_fraction, mistake_of, mistakes, with_whole_numbers

MAX_ADMIN_BODY_BYTES = 1024**2

# A number that no computer holds is a ValueError.
_NO_JSON = (msgspec.DecodeError, ValueError, RecursionError)
T = TypeVar("T", bound=RequestBody)


class Upload:
    """A request's body on its way in: read once, chunk by chunk, up to a limit.

    Nothing is asked of the client (100 Continue) before somebody wants the first chunk. `failure` is set when
    reading failed on the client's side; aiohttp's client hides the exception in one of its own.
    """

    def __init__(self, request: web.Request, limit: int) -> None:
        """Raise ContentTooLarge if the client announces more than `limit` bytes."""
        self._request = request
        self._limit = limit
        self.failure: GatewayError | None = None
        if (request.content_length or 0) > limit:
            self._refuse()

    def _refuse(self) -> Never:
        self.failure = ContentTooLarge(
            f"The body is larger than the {self._limit} bytes that this gateway takes here."
        )
        raise self.failure

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in. Raises ContentTooLarge, BadRequest, RequestTimeout."""
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

    def arrived(self) -> bytes | None:
        """Return the body if all of it arrived together with the head. Raises ContentTooLarge."""
        content = self._request.content
        if not content.is_eof() or content.exception() is not None:
            return None
        body = content.read_nowait()
        if len(body) > self._limit:
            self._refuse()
        return body

    async def read(self, coding: str | None = None) -> bytes:
        """Return the whole body, decoded; the limit is for what it decodes to as well.

        Raises ContentTooLarge, BadRequest, RequestTimeout.
        """
        if coding is not None:
            return b"".join([piece async for piece in self._decoded(BodyDecoder(coding))])
        body = self.arrived()
        return b"".join([chunk async for chunk in self.chunks()]) if body is None else body

    async def _decoded(self, decoder: BodyDecoder) -> AsyncIterator[bytes]:
        decoded = 0
        async for chunk in self.chunks():
            for piece in decoder.pieces(chunk):
                decoded += len(piece)
                if decoded > self._limit:
                    self._refuse()
                yield piece
                # A small body may decode to a large one, and meanwhile everybody else would wait.
                await asyncio.sleep(0)
        decoder.finish()

    async def _invite(self) -> None:
        if EXPECTS_CONTINUE in self._request:
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # Interim: the writer must not take it for the beginning of the answer.
            self._request.writer.output_size = 0

    async def _read(self, due: float) -> bytes:
        try:
            async with asyncio.timeout_at(due if due < math.inf else None):
                return await self._request.content.readany()
        except TimeoutError as exc:
            self.failure = RequestTimeout("The request's body came too slowly for this gateway.")
            raise self.failure from exc
        except (web.RequestPayloadError, web.HTTPException) as exc:
            self.failure = BadRequest("The body broke off, or its framing is wrong.")
            raise self.failure from exc


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Return the request's JSON body as this Struct.

    Raises UnsupportedMediaType unless it comes as application/json (a form of any web page could send it
    otherwise) and can be decoded, ContentTooLarge, BadRequest if it is no JSON or holds the key,
    ValidationFailed if it is not what is asked for.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with 'Content-Type: application/json'.")
    body = await Upload(request, MAX_ADMIN_BODY_BYTES).read(request[CONTEXT].head.content_coding)
    read = _parsed(body.removeprefix(BOM_UTF8), kind)
    # It would go on to LM Studio, into events, and into the database.
    if any(map(request[CONTEXT].head.redaction.holds_key, _texts(msgspec.to_builtins(read)))):
        raise BadRequest("The body holds the gateway's key, which belongs into Authorization or X-API-Key.")
    return read


def _parsed(body: bytes, kind: type[T]) -> T:
    if not body:
        raise BadRequest("The body is empty. Send JSON, {} for nothing in particular.")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        return _second_look(body, kind, exc)
    except _NO_JSON as exc:
        raise BadRequest(f"The body is not JSON: {exc}") from exc


def _texts(value: object) -> Iterator[str]:
    """Yield every text in JSON that was read, but for the fields' names, which are known ones."""
    match value:
        case str():
            yield value
        case list() | tuple():
            yield from chain.from_iterable(map(_texts, value))
        case dict():
            yield from chain.from_iterable(map(_texts, value.values()))


def _second_look(body: bytes, kind: type[T], first: msgspec.ValidationError) -> T:
    """Raise all that is wrong, of which msgspec stopped at the first.

    Return the body if nothing is: msgspec minds 8192.0, a whole number to JSON Schema and to JavaScript.
    """
    try:
        value = with_whole_numbers(msgspec.json.decode(body))
    except _NO_JSON as exc:
        raise BadRequest(f"The body is not JSON: {exc}") from exc
    details = mistakes(value, kind)
    if not details and is_about_a_fraction(first):
        return msgspec.convert(value, kind)
    # Of a field that is there twice only the last one is seen a second time.
    raise ValidationFailed("Validation failed", details=details or [mistake_of(first)]) from first
