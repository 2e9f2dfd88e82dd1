"""Streams: many at once, on bare protocols, with the delay of each token."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import cast

from .wire import BODY_END, STREAM_END, TOKEN, TOKEN_BYTES, Door, chat

# How much longer than planned streams may take before they count as cut.
PATIENCE_SECONDS = 30.0


@dataclass
class Record:
    """What is seen of tokens while `on`. All times are nanoseconds; `sent` to received is a token's delay."""

    on: bool = False
    delays: array[int] = field(default_factory=lambda: array("q"))
    # By how much two tokens arrived further apart than they were sent; 0 if they arrived closer.
    added_gaps: array[int] = field(default_factory=lambda: array("q"))
    # From a request's first byte to its first token.
    first_tokens: array[int] = field(default_factory=lambda: array("q"))
    largest_gap: int = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        self.on = True
        try:
            yield
        finally:
            self.on = False


class Stream(asyncio.Protocol):
    """A client that asks for one stream after the other on its connection, until it is stopped.

    `whole` counts streams that ended with every token, `cut` the others.
    """

    def __init__(self, request: bytes, tokens: int, record: Record, *, again: bool) -> None:
        self._request, self._tokens, self._record, self._again = request, tokens, record, again
        self._asked = 0
        self._seen = 0
        self._last = (0, 0)
        self._rest = b""
        self._is_ending = False
        self._transport: asyncio.Transport
        self.started = self.whole = self.cut = self.lost = 0
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def stop(self) -> None:
        """Ask no more."""
        self._again = False

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self._seen, self._rest, self._is_ending = 0, b"", False
        self.started += 1
        self._asked = time.monotonic_ns()
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.is_set():
            self._end(whole=False)
            self.ended.set()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._rest + data
        read = 0
        for token in TOKEN.finditer(data):
            read = token.end()
            self._take(int(token[1]), now)
        if STREAM_END in data:
            self._is_ending = True
        if self._is_ending and data.endswith(BODY_END):
            self._end(whole=self._seen == self._tokens)
            if self._again:
                self._ask()
            else:
                self.ended.set()
                self._transport.close()
        else:
            # A token or an end may have come in two pieces.
            self._rest = data[max(read, len(data) - TOKEN_BYTES) :]

    def _take(self, sent: int, now: int) -> None:
        record = self._record
        if record.on:
            record.delays.append(now - sent)
            if self._seen:
                last_sent, last_came = self._last
                gap = now - last_came
                record.added_gaps.append(max(0, gap - (sent - last_sent)))
                record.largest_gap = max(record.largest_gap, gap)
            else:
                record.first_tokens.append(now - self._asked)
        self._last = sent, now
        self._seen += 1
        if self._seen == 1:
            self.begun.set()

    def _end(self, *, whole: bool) -> None:
        self.whole += whole
        self.cut += not whole
        self.lost += self._tokens - self._seen


@dataclass
class Streams:
    """A number of streams through one door, each of `tokens` tokens, `rate` a second."""

    door: Door
    number: int
    tokens: int
    rate: int
    again: bool = False
    record: Record = field(default_factory=Record)
    all: list[Stream] = field(default_factory=list)

    async def open(self, seconds: float) -> None:
        """Open all of them within so many seconds, and wait for the first token of the last one.

        At any moments, the same in each run: at even ones many would send their tokens together.
        """
        loop, choose = asyncio.get_running_loop(), Random(self.number)
        request = self.door.post(chat(tokens=self.tokens, rate=self.rate, model=self.door.model))

        def stream() -> Stream:
            return Stream(request, self.tokens, self.record, again=self.again)

        began = loop.time()
        for moment in sorted(choose.uniform(0, seconds) for _ in range(self.number)):
            await asyncio.sleep(began + moment - loop.time())
            self.all.append((await loop.create_connection(stream, "127.0.0.1", self.door.port))[1])
        async with asyncio.timeout(PATIENCE_SECONDS):
            for each in self.all:
                await each.begun.wait()

    async def end(self) -> None:
        """Wait until each has come to its end; those that take too long are cut off."""
        for stream in self.all:
            stream.stop()
        try:
            async with asyncio.timeout(self.tokens / self.rate + PATIENCE_SECONDS):
                for stream in self.all:
                    await stream.ended.wait()
        finally:
            self.abort()

    def abort(self) -> None:
        for stream in self.all:
            stream.abort()

    @property
    def open_now(self) -> int:
        return sum(not stream.ended.is_set() for stream in self.all)

    def count(self, name: str) -> int:
        """Add up one of a Stream's counts."""
        return sum(getattr(stream, name) for stream in self.all)
