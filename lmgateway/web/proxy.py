"""The proxied paths: a request on its way to LM Studio, and the answer on its way back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from aiohttp import web
from multidict import CIMultiDict

from ..aiohttp_private.relayed_response import RelayedResponse
from ..aiohttp_private.server_protocol import protocol_of
from ..boxes.http.client import Outgoing
from ..boxes.http.response import Answer
from ..config import seconds
from ..errors import GatewayError, MethodNotAllowed
from ..observe.exchange import Exchange
from ..traffic import rewrite, target
from ..traffic.headers import response_fields, writable_reason
from ..traffic.metering import BodyMeter, Meter, StreamMeter
from .relay import Flow
from .request_bodies import Upload
from .state import ACTIVITY, EXCHANGE, HEAD, MODELS, POLICY, UPSTREAM

_EVENT_STREAM = "text/event-stream"
_JSON = "application/json"
# The usual ones of all that pass. RFC 9110 section 15.5.6 wants some to be named.
_ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.", headers={"Allow": _ALLOWED})
    destination = target.parse(request.raw_path)
    passage = Passage(request)
    if destination.changes_machine:
        passage.policy.cors.admit_origin(request.headers)
    activity = passage.app[ACTIVITY]
    activity.admit(passage.policy.config.limits.requests)
    with activity.exchange(passage.exchange):
        if request.method == "POST" and (dialect := rewrite.DIALECTS.get(destination.path)):
            return await passage.infer(destination, dialect)
        return await passage.pass_on(destination)


class Passage:
    """One request's way through the gateway and back."""

    __slots__ = ("app", "exchange", "policy", "request")

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.app = request.app
        self.exchange = request[EXCHANGE]
        self.policy = request[POLICY]

    async def infer(self, destination: target.Target, dialect: rewrite.Dialect) -> web.StreamResponse:
        """Send on a request that something may be filled into, and count the tokens of its answer."""
        # The body may be large, and is let go of before the answer begins to come, which may take long.
        answer, strips = await self._fill_and_send(destination, dialect)
        return await self._relay(answer, _meter(answer, strips=strips))

    async def _fill_and_send(
        self, destination: target.Target, dialect: rewrite.Dialect
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether its client didn't ask for the usage in it."""
        request, app, exchange, limits = self.request, self.app, self.exchange, self.policy.config.proxy
        exchange.route, exchange.generates = destination.path, dialect.generates
        headers = request[HEAD].for_upstream()
        if "Accept-Encoding" in headers:
            headers["Accept-Encoding"] = "identity"  # what is packed can't be counted
        body = await Upload(request, limits.max_body_bytes).read()
        active = app[MODELS].active.of(dialect.model_type)
        filled = rewrite.fill(body, dialect, active, account_streams=limits.account_streams)
        exchange.stream = filled.streaming
        if filled.model is not None:
            exchange.model = exchange.redact(filled.model)
        app[ACTIVITY].announce(exchange)
        silence_ms = limits.stream_timeout_ms if filled.streaming else limits.timeout_ms
        outgoing = Outgoing(request.method, destination.raw, headers, filled.body)
        answer = await app[UPSTREAM].send(outgoing, silence=seconds(silence_ms))
        return answer, filled.asks_usage

    async def pass_on(self, destination: target.Target) -> web.StreamResponse:
        """Send on a request whose body isn't the gateway's business, while it is still coming in."""
        request, app, limits = self.request, self.app, self.policy.config.proxy
        headers = request[HEAD].for_upstream()
        if (length := request.headers.get("Content-Length")) is not None:
            headers["Content-Length"] = length
        upload = Upload(request, limits.max_upload_bytes)
        body: AsyncIterator[bytes] | None = upload.chunks() if request.body_exists else None
        app[ACTIVITY].announce(self.exchange)
        try:
            outgoing = Outgoing(request.method, destination.raw, headers, body)
            answer = await app[UPSTREAM].send(outgoing, silence=seconds(limits.timeout_ms))
        except GatewayError as exc:
            # What looks like LM Studio's failure may be the upload's.
            raise upload.failure or exc from exc
        return await self._relay(answer, None)

    async def _relay(self, answer: Answer, meter: Meter | None) -> web.StreamResponse:
        """Pass LM Studio's answer on as it comes in, no faster than the client takes it."""
        exchange = self.exchange
        exchange.status = answer.status
        try:
            response = self._begin(answer, response_fields(answer.headers), meter)
            if meter is not None:
                exchange.count = meter.count
            ready = _metered(meter, exchange, answer.read_ready())
            writer = await response.begin(self.request, join_body=bool(ready))
            await writer.write(ready)
            if not answer.has_ended:
                client = protocol_of(self.request)
                await Flow(answer, client, writer, partial(_metered, meter, exchange)).run()
                while chunk := await answer.read():
                    await writer.write(_metered(meter, exchange, chunk))
            if meter is not None:
                await writer.write(meter.finish())
            await response.write_eof()
            return response
        finally:
            # Before its end this closes the connection, which is how LM Studio learns that nobody listens.
            answer.close()

    def _begin(self, answer: Answer, fields: CIMultiDict[str], meter: Meter | None) -> RelayedResponse:
        is_stream = _content_type(fields).startswith(_EVENT_STREAM)
        if is_stream:
            # A stream is what LM Studio says is one, whatever was asked for.
            self.exchange.stream = True
            answer.limit_silence(seconds(self.policy.config.proxy.stream_timeout_ms))
        if isinstance(meter, StreamMeter):
            fields.popall("Content-Length", None)  # it may become less
        response = RelayedResponse(
            status=answer.status, reason=writable_reason(answer.reason), headers=fields
        )
        if self.request.version < (1, 1) and "Content-Length" not in fields:
            # Without chunks the connection's end is the answer's.
            response.force_close()
        return response


def _meter(answer: Answer, *, strips: bool) -> Meter | None:
    """Return what can read tokens from this answer; None if it is of no kind that tells them."""
    content_type = _content_type(answer.headers)
    if "Content-Encoding" in answer.headers:
        return None
    if content_type.startswith(_EVENT_STREAM):
        return StreamMeter(strips=strips)
    return BodyMeter() if content_type.startswith(_JSON) else None


def _content_type(headers: Mapping[str, str]) -> str:
    """Return it in lower case, which it may come in or not (RFC 9110 section 8.3.1)."""
    return headers.get("Content-Type", "").lower()


def _metered(meter: Meter | None, exchange: Exchange, chunk: bytes) -> bytes:
    if meter is None:
        return chunk
    count = meter.count
    known = count.seen
    passed = meter.feed(chunk)
    if count.seen != known:
        exchange.token_came()
    return passed
