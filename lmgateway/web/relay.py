"""Relays LM Studio's response to the client, with backpressure."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from ..errors import ContextLengthExceeded, UpstreamBroke
from ..observe.exchange import Exchange
from ..observe.faults import Faults
from ..observe.tokens import OnResponse
from ..traffic.headers import EVENT_STREAM, response_fields, writable_reason
from ..traffic.metering import Meter, StreamMeter, meter_for
from ..traffic.studio_errors import Overflow, context_length_exceeded, sentence_of, studio_refused
from .delivery import MAX_ERROR_BYTES, Delivered
from .downstream import Downstream
from .transfer import Transfer


async def relay(
    delivered: Delivered, exchange: Exchange, downstream: Downstream, faults: Faults, bind: OnResponse
) -> web.StreamResponse:
    """Relay the response while it is received, and count its tokens. `bind` as for TokenCount.on_response.

    Raises UpstreamBroke and UpstreamSilent if LM Studio stops in the middle, ContextLengthExceeded if its
    answer says so, and ConnectionResetError if the client has disconnected.
    """
    upstream, options = delivered.response, delivered.options
    # LM Studio's response decides, not the request: a request for a stream may get plain JSON.
    is_stream = delivered.kind.startswith(EVENT_STREAM)
    meter = _meter_of(delivered, bind)
    exchange.answered(upstream.status, stream=is_stream, count=None if meter is None else meter.count)
    try:
        if is_stream:
            upstream.limit_silence(options.stream_silence_seconds)
        transfer = Transfer(upstream, meter, exchange, faults, options.path)
        unsent = transfer.piece_of(await _beginning(delivered, exchange, downstream))
        is_whole = upstream.has_ended and not transfer.left
        if is_whole:
            unsent += transfer.finish()
        if transfer.failure is not None or (is_whole and _is_empty(delivered, meter)):
            try:
                await check_context(delivered, transfer, exchange)
            except ContextLengthExceeded as exc:
                exchange.replaced(exc)  # the client has no head yet, so it gets the error instead
                exc.headers = options.fields
                raise
        writer = await downstream.begin(
            upstream.status,
            writable_reason(upstream.reason),
            _fields(delivered, meter, is_stream=is_stream),
            join_body=bool(unsent),
            events=options.dialect.protocol if is_stream and options.dialect is not None else None,
        )
        if not is_whole:
            await writer.write(unsent)
            unsent = await transfer.run(downstream.connection, writer)
            # Nothing after the head of plain JSON can report an error, and its client may have all of it.
            if is_stream and _is_empty(delivered, meter):
                await check_context(delivered, transfer, exchange)
        response = downstream.response
        if response is None:
            raise RuntimeError("the response has no head")
        await response.write_eof(unsent)
        return response
    finally:
        # If the response hasn't ended, this closes the connection, and LM Studio stops generating.
        upstream.close()


async def _beginning(delivered: Delivered, exchange: Exchange, downstream: Downstream) -> bytes:
    """Return the first bytes of the body, or those that are there already, and end the keep-alives.

    Raises an error for a response that can't follow keep-alives.
    """
    upstream, body = delivered.response, delivered.first or delivered.response.read_ready()
    if not downstream.is_waiting:
        return body
    is_stream = delivered.kind.startswith(EVENT_STREAM)
    if is_stream and not body and not upstream.has_ended:
        body = await upstream.read()
    downstream.end_waiting()
    if not downstream.is_early:
        return body
    if is_stream and upstream.status == 200 and "Content-Encoding" not in upstream.headers:
        if not body:
            raise UpstreamBroke("LM Studio's answer is empty.")
        return body
    while not upstream.has_ended and len(body) <= MAX_ERROR_BYTES:
        body += await upstream.read()
    if upstream.status == 200:
        raise UpstreamBroke(sentence_of(body) or "LM Studio answered without a stream.")
    refused = studio_refused(upstream.status, body)
    exchange.replaced(refused)
    raise refused


def _meter_of(delivered: Delivered, bind: OnResponse) -> Meter | None:
    """Return the meter for the response's tokens, None if they aren't counted."""
    upstream, options, dialect = delivered.response, delivered.options, delivered.options.dialect
    if dialect is None or "Content-Encoding" in upstream.headers:
        return None
    meter = meter_for(
        delivered.kind,
        hides_usage=options.hides_usage,
        end=dialect.stream_end if upstream.status == 200 else None,
        mends=options.mends,
    )
    if meter is not None and dialect.continues:
        meter.count.on_response = bind
    return meter


def _fields(delivered: Delivered, meter: Meter | None, *, is_stream: bool) -> CIMultiDict[str]:
    fields = response_fields(delivered.response.headers)
    if is_stream:
        # nginx would buffer the events otherwise.
        fields["X-Accel-Buffering"] = "no"
    if isinstance(meter, StreamMeter):
        fields.popall("Content-Length", None)  # removing the usage makes the body shorter
    fields.update(delivered.options.fields)
    return fields


async def check_context(delivered: Delivered, transfer: Transfer, exchange: Exchange) -> None:
    """Raise an answer's failure; ContextLengthExceeded for an empty one whose prompt fills the context."""
    if transfer.failure is not None:
        raise transfer.failure
    options = delivered.options
    context = await delivered.box.context_length(options.instance or options.model)
    prompt = None if exchange.count is None else exchange.count.prompt_tokens
    if context is not None and prompt is not None and prompt >= context:
        raise context_length_exceeded(delivered.options.path, Overflow(prompt, context))


def _is_empty(delivered: Delivered, meter: Meter | None) -> bool:
    """True for a complete answer without any token: some versions of LM Studio report an overflow so."""
    options, count = delivered.options, None if meter is None else meter.count
    if count is None or count.generated or not options.mends or count.fault is not None:
        return False
    generates = options.dialect is not None and options.dialect.generates
    return generates and (count.completion_tokens == 0 or isinstance(meter, StreamMeter))
