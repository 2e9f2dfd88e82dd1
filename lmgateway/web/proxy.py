"""The proxied paths: a request on its way to LM Studio, and the answer on its way back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from ..errors import GatewayError, MethodNotAllowed
from ..state import CONFIG, CORS, MODELS, REQUEST_FIELDS, UPSTREAM
from ..traffic import rewrite, target
from ..traffic.headers import response_fields, writable_reason
from ..traffic.upstream import Answer, Outgoing
from .answers import RelayedResponse
from .bodies import Upload

_EVENT_STREAM = "text/event-stream"


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.")
    destination = target.parse(request.raw_path)
    if destination.changes_machine:
        request.app[CORS].admit_origin(request.headers)
    answer = await _send(request, destination)
    try:
        return await _relay(request, answer)
    finally:
        # Before its end this closes the connection, which is how LM Studio learns that nobody listens.
        answer.close()


async def _send(request: web.Request, destination: target.Target) -> Answer:
    """Send the request on, filled in where its API has something to fill in."""
    app, limits = request.app, request.app[CONFIG].proxy
    headers = app[REQUEST_FIELDS].forward(request.headers)
    dialect = rewrite.DIALECTS.get(destination.path) if request.method == "POST" else None
    upload = Upload(request, limits.max_body_bytes if dialect else limits.max_upload_bytes)
    silence_ms = limits.timeout_ms
    body: bytes | AsyncIterator[bytes] | None
    if dialect is not None:
        filled = rewrite.fill(await upload.read(), dialect, app[MODELS].active.of(dialect.model_type))
        body = filled.body
        if filled.streaming:
            silence_ms = limits.stream_timeout_ms
    else:
        body = upload.chunks() if request.body_exists else None
    outgoing = Outgoing(request.method, destination.raw, headers, body)
    try:
        return await app[UPSTREAM].send(outgoing, silence=_seconds(silence_ms))
    except GatewayError as exc:
        # What looks like LM Studio's failure may be the upload's.
        raise upload.failure or exc from exc


async def _relay(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Pass LM Studio's answer on as it comes in, no faster than the client takes it."""
    fields = response_fields(answer.headers)
    response = RelayedResponse(answer.status, writable_reason(answer.reason), fields)
    if request.version < (1, 1) and "Content-Length" not in fields:
        # Without chunks the connection's end is the answer's.
        response.force_close()
    if response.headers.get("Content-Type", "").startswith(_EVENT_STREAM):
        # A stream is what LM Studio says is one, whatever was asked for.
        answer.limit_silence(_seconds(request.app[CONFIG].proxy.stream_timeout_ms))
    await response.prepare(request)
    while chunk := await answer.read():
        await response.write(chunk)
    await response.write_eof()
    return response


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
