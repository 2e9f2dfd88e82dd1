"""Passes a response's body on from the event loop's read callback, with backpressure."""

from __future__ import annotations

import asyncio
import sys

from aiohttp.abc import AbstractStreamWriter

from ..aiohttp_private.relayed_response import write_now
from ..aiohttp_private.server_protocol import ServerProtocol
from ..boxes.http.response import UpstreamResponse
from ..observe.exchange import Exchange
from ..observe.faults import Faults
from ..traffic.metering import Meter, StreamMeter
from ..traffic.studio_errors import StreamOverflowed, context_length_exceeded

# Thousands of the smallest events, each of which takes a microsecond. LM Studio may send more at once.
PIECE_BYTES = 16 * 1024
# After so many reads in a row, other work comes first: each makes aiohttp parse on, if the chunks are small.
_ROUNDS = range(8)


class Transfer:
    """Relays a body from the event loop's read callback, as long as the client keeps up.

    Waking the request's task for each token would take longer than relaying the token. The task sleeps until
    the body has ended; then it waits until a slow client has read the rest.
    """

    def __init__(
        self,
        upstream: UpstreamResponse,
        meter: Meter | None,
        exchange: Exchange,
        faults: Faults,
        path: str,
    ) -> None:
        """`path` decides in which words a context overflow is reported."""
        self._upstream, self._meter, self._exchange, self._faults = upstream, meter, exchange, faults
        self._path = path
        self._client: ServerProtocol
        self._writer: AbstractStreamWriter
        self._loop: asyncio.AbstractEventLoop
        self._is_passing = False
        self.failure: Exception | None = None
        self._piece_bytes = PIECE_BYTES if isinstance(meter, StreamMeter) else sys.maxsize
        # What was received in one go, and is passed on in pieces with other work in between.
        self.left = b""

    def piece_of(self, chunk: bytes) -> bytes:
        """Return the chunk's first piece, metered, and keep the others for later."""
        if len(chunk) > self._piece_bytes:
            chunk, self.left = chunk[: self._piece_bytes], chunk[self._piece_bytes :]
        return self.metered(chunk)

    def metered(self, chunk: bytes) -> bytes:
        """Count the chunk's tokens, and return what of it is relayed."""
        meter = self._meter
        if meter is None:
            return chunk
        count = meter.count
        before = count.seen
        try:
            passed = meter.feed(chunk)
        except StreamOverflowed as exc:
            return self._overflowed(exc)
        except Exception:  # noqa: BLE001 - a fault in counting fails no response
            return self._without_meter(meter) + chunk
        if count.seen != before:
            self._exchange.token_seen()
        return passed

    def finish(self) -> bytes:
        """Return what the meter held back."""
        meter = self._meter
        try:
            return b"" if meter is None else meter.finish()
        except StreamOverflowed as exc:
            return self._overflowed(exc)
        except Exception:  # noqa: BLE001 - as above
            return b"" if meter is None else self._without_meter(meter)

    def _overflowed(self, exc: StreamOverflowed) -> bytes:
        """End the response with an error; return what is relayed before it."""
        self._fail(context_length_exceeded(self._path, exc.overflow))
        # An empty line ends the event whose beginning the client has.
        return exc.passed + (b"\n\n" if exc.is_cut else b"")

    def _without_meter(self, meter: Meter) -> bytes:
        """Go on without counting, after a fault; return what the meter held back."""
        self._faults.log("Counting the tokens of a response")
        self._meter = None
        return meter.held_back()

    async def run(self, client: ServerProtocol, writer: AbstractStreamWriter) -> bytes:
        """Relay the body, and return what the meter held back of its end.

        Raises ConnectionResetError if the client has disconnected, and the failure of LM Studio.
        """
        self._client, self._writer, self._loop = client, writer, asyncio.get_running_loop()
        client.on_writable = self._pass_on
        if self.left:
            self._loop.call_soon(self._pass_left)
        try:
            await self._upstream.wait_end(self._pass_on)
        finally:
            client.on_writable = None
            self._is_passing = True  # from here on, only this task reads
        while self.failure is None and (chunk := self._take_left() or await self._upstream.read()):
            await writer.write(self.piece_of(chunk))
            await asyncio.sleep(0)
        unsent = self.finish() if self.failure is None else b""
        if self.failure is not None:
            await writer.write(unsent)
            raise self.failure
        return unsent

    def _take_left(self) -> bytes:
        left, self.left = self.left, b""
        return left

    def _pass_on(self) -> None:
        # Reading may resume the transport, whose callback calls this again.
        if self._is_passing or self.failure is not None or self.left:
            return
        self._is_passing = True
        try:
            for _ in _ROUNDS:
                if self._client.writing_paused or not (chunk := self._upstream.read_ready()):
                    return
                if len(chunk) > self._piece_bytes:
                    self.left = chunk
                    self._loop.call_soon(self._pass_left)
                    return
                write_now(self._writer, self.metered(chunk))
            self._loop.call_soon(self._pass_on)
        except Exception as exc:  # noqa: BLE001 - raised again in `run`; the event loop would only log it
            self._fail(exc)
        finally:
            self._is_passing = False

    def _pass_left(self) -> None:
        if not self.left or self.failure is not None:  # `run` has relayed it
            return
        try:
            write_now(self._writer, self.piece_of(self._take_left()))
        except Exception as exc:  # noqa: BLE001 - as above
            self._fail(exc)
        if self.left:
            self._loop.call_soon(self._pass_left)
        else:
            self._pass_on()

    def _fail(self, exc: Exception) -> None:
        self.failure = exc
        self._upstream.break_off(exc)
