"""The proxied paths: a request on its way to LM Studio, and the answer on its way back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from aiohttp import web
from multidict import CIMultiDict

from ..errors import GatewayError, MethodNotAllowed
from ..observe.exchange import Exchange
from ..state import ACTIVITY, EXCHANGE, MODELS, POLICY, UPSTREAM
from ..traffic import rewrite, target
from ..traffic.headers import response_fields, writable_reason
from ..traffic.upstream import Answer, Outgoing
from ..traffic.usage import BodyMeter, Meter, StreamMeter
from .answers import RelayedResponse
from .bodies import Upload

_EVENT_STREAM = "text/event-stream"
_JSON = "application/json"


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.")
    destination = target.parse(request.raw_path)
    if destination.changes_machine:
        request[POLICY].cors.admit_origin(request.headers)
    request.app[ACTIVITY].admit(request[POLICY].config.limits.requests)
    with request.app[ACTIVITY].exchange(request[EXCHANGE]):
        if request.method == "POST" and (dialect := rewrite.DIALECTS.get(destination.path)):
            return await _infer(request, destination, dialect)
        return await _pass(request, destination)


async def _infer(
    request: web.Request, destination: target.Target, dialect: rewrite.Dialect
) -> web.StreamResponse:
    """Send on a request that something may be filled into, and count the tokens of its answer."""
    app, policy, exchange = request.app, request[POLICY], request[EXCHANGE]
    limits = policy.config.proxy
    exchange.route, exchange.generates = destination.path, dialect.generates
    headers = policy.request_fields.forward(request.headers, version=_version(request))
    if "Accept-Encoding" in headers:
        headers["Accept-Encoding"] = "identity"  # what is packed can't be counted
    body = await Upload(request, limits.max_body_bytes).read()
    active = app[MODELS].active.of(dialect.model_type)
    filled = rewrite.fill(body, dialect, active, account_streams=limits.account_streams)
    exchange.stream = filled.streaming
    if filled.model is not None:
        exchange.model = policy.guard.keys.redact(filled.model)
    app[ACTIVITY].announce(exchange)
    silence_ms = limits.stream_timeout_ms if filled.streaming else limits.timeout_ms
    outgoing = Outgoing(request.method, destination.raw, headers, filled.body)
    answer = await app[UPSTREAM].send(outgoing, silence=_seconds(silence_ms))
    return await _relay(request, answer, _meter(answer, strips=filled.asks_usage))


async def _pass(request: web.Request, destination: target.Target) -> web.StreamResponse:
    """Send on a request whose body isn't the gateway's business, while it is still coming in."""
    app, policy = request.app, request[POLICY]
    limits = policy.config.proxy
    headers = policy.request_fields.forward(request.headers, version=_version(request))
    upload = Upload(request, limits.max_upload_bytes)
    body: AsyncIterator[bytes] | None = upload.chunks() if request.body_exists else None
    app[ACTIVITY].announce(request[EXCHANGE])
    try:
        outgoing = Outgoing(request.method, destination.raw, headers, body)
        answer = await app[UPSTREAM].send(outgoing, silence=_seconds(limits.timeout_ms))
    except GatewayError as exc:
        # What looks like LM Studio's failure may be the upload's.
        raise upload.failure or exc from exc
    return await _relay(request, answer, None)


async def _relay(request: web.Request, answer: Answer, meter: Meter | None) -> web.StreamResponse:
    """Pass LM Studio's answer on as it comes in, no faster than the client takes it."""
    exchange = request[EXCHANGE]
    exchange.status = answer.status
    try:
        response = _begin(request, answer, response_fields(answer.headers), meter)
        if meter is not None:
            exchange.count = meter.count
        ready = _metered(answer.read_ready(), meter, exchange)
        if ready:
            response.join_head()
        await response.prepare(request)
        await response.write(ready)
        while chunk := await answer.read():
            chunk = _metered(chunk, meter, exchange)
            if chunk:
                await response.write(chunk)
        if meter is not None:
            await response.write(meter.finish())
        await response.write_eof()
        return response
    finally:
        # Before its end this closes the connection, which is how LM Studio learns that nobody listens.
        answer.close()


def _begin(
    request: web.Request, answer: Answer, fields: CIMultiDict[str], meter: Meter | None
) -> RelayedResponse:
    is_stream = fields.get("Content-Type", "").startswith(_EVENT_STREAM)
    if is_stream:
        # A stream is what LM Studio says is one, whatever was asked for.
        request[EXCHANGE].stream = True
        answer.limit_silence(_seconds(request[POLICY].config.proxy.stream_timeout_ms))
    if isinstance(meter, StreamMeter):
        fields.popall("Content-Length", None)  # it may become less
    response = RelayedResponse(answer.status, writable_reason(answer.reason), fields)
    if request.version < (1, 1) and "Content-Length" not in fields:
        # Without chunks the connection's end is the answer's.
        response.force_close()
    return response


def _meter(answer: Answer, *, strips: bool) -> Meter | None:
    """Return what can read tokens from this answer; None if it is of no kind that tells them."""
    content_type = answer.headers.get("Content-Type", "")
    if "Content-Encoding" in answer.headers:
        return None
    if content_type.startswith(_EVENT_STREAM):
        return StreamMeter(strips=strips)
    return BodyMeter() if content_type.startswith(_JSON) else None


def _metered(chunk: bytes, meter: Meter | None, exchange: Exchange) -> bytes:
    if meter is None:
        return chunk
    passed = meter.feed(chunk)
    if exchange.first_token is None and meter.count.seen:
        exchange.first_token = time.monotonic()
    return passed


def _version(request: web.Request) -> str:
    return "1.1" if request.version >= (1, 1) else "1.0"


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
