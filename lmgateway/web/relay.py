"""LM Studio's response on its way to the client, no faster than the client takes it."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ..aiohttp_private.relayed_response import write_now
from ..aiohttp_private.server_protocol import ServerProtocol
from ..boxes.http.response import UpstreamResponse
from ..observe.exchange import Exchange
from ..traffic.headers import EVENT_STREAM, media_type, response_fields, writable_reason
from ..traffic.metering import Meter, StreamMeter, meter_for
from ..traffic.plan import RelayOptions
from .downstream import Downstream


async def relay(
    upstream: UpstreamResponse, options: RelayOptions, exchange: Exchange, downstream: Downstream
) -> web.StreamResponse:
    """Pass the response on as it comes in, and count its tokens.

    Raises UpstreamBroke and UpstreamSilent if LM Studio stops in the middle, ConnectionResetError if the
    client has left.
    """
    kind = media_type(upstream.headers)
    # A stream is what LM Studio says is one, whatever the request asked for.
    is_stream = kind.startswith(EVENT_STREAM)
    meter = None
    if options.counts_tokens and "Content-Encoding" not in upstream.headers:
        end = options.stream_end if upstream.status == HTTPStatus.OK else None
        meter = meter_for(kind, hides_usage=options.hides_usage, end=end)
    exchange.answered(upstream.status, stream=is_stream, count=None if meter is None else meter.count)
    try:
        if is_stream:
            upstream.limit_silence(options.stream_silence_seconds)
        headers = response_fields(upstream.headers)
        if is_stream:
            # nginx would collect events until its buffers are full.
            headers["X-Accel-Buffering"] = "no"
        if isinstance(meter, StreamMeter):
            headers.popall("Content-Length", None)  # what is taken out makes it less
        transfer = Transfer(upstream, meter, exchange)
        first = transfer.metered(upstream.read_ready())
        writer = await downstream.begin(
            upstream.status, writable_reason(upstream.reason), headers, join_body=bool(first)
        )
        await writer.write(first)
        if not upstream.has_ended:
            await transfer.run(downstream.connection, writer)
        if meter is not None:
            await writer.write(meter.finish())
        response = downstream.response
        if response is None:
            raise RuntimeError("the response has no head")
        await response.write_eof()
        return response
    finally:
        # Before its end this closes the connection, and so LM Studio stops generating.
        upstream.close()


class Transfer:
    """Passes a body on in the event loop's own call that read it, as long as the client keeps up.

    To wake the request's task for each token takes longer than to pass the token on. The task sleeps until
    the body's end; then it waits for a slow client to take what is left.
    """

    def __init__(self, upstream: UpstreamResponse, meter: Meter | None, exchange: Exchange) -> None:
        self._upstream, self._meter, self._exchange = upstream, meter, exchange
        self._client: ServerProtocol
        self._writer: AbstractStreamWriter
        self._is_passing = False
        self._failure: Exception | None = None

    def metered(self, chunk: bytes) -> bytes:
        """Return what of this chunk goes on to the client, its tokens counted."""
        meter = self._meter
        if meter is None:
            return chunk
        count = meter.count
        before = count.seen
        passed = meter.feed(chunk)
        if count.seen != before:
            self._exchange.token_seen()
        return passed

    async def run(self, client: ServerProtocol, writer: AbstractStreamWriter) -> None:
        """Pass on everything up to the body's end. Raises ConnectionResetError if the client has left."""
        self._client, self._writer = client, writer
        client.on_writable = self._pass_on
        try:
            await self._upstream.wait_end(self._pass_on)
        finally:
            client.on_writable = None
        if self._failure is not None:
            raise self._failure
        while chunk := await self._upstream.read():
            await writer.write(self.metered(chunk))

    def _pass_on(self) -> None:
        # Reading may let more come in, which calls this again.
        if self._is_passing or self._failure is not None:
            return
        self._is_passing = True
        try:
            while not self._client.writing_paused and (chunk := self._upstream.read_ready()):
                write_now(self._writer, self.metered(chunk))
        except Exception as exc:  # noqa: BLE001 - raised again in `run`; the event loop would only log it
            self._failure = exc
            self._upstream.break_off(exc)
        finally:
            self._is_passing = False
