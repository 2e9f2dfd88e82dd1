"""One connection on which one request follows another: for added latency, and for what is only to be done."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self, cast

from .wire import BODY_END

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Unanswered(Exception):
    """The connection ended, or the answer's status wasn't 200."""


class Asking(asyncio.Protocol):
    """A connection that takes the time of each answer, from the request's first byte to the answer's last."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[Self]:
        transport, protocol = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        try:
            yield protocol
        finally:
            transport.abort()

    async def ask(self, request: bytes) -> int:
        """Return how many nanoseconds the answer took. Raises Unanswered."""
        self._answered = asyncio.get_running_loop().create_future()
        began = time.monotonic_ns()
        self._transport.write(request)
        return await self._answered - began

    async def ask_for(self, request: bytes, seconds: float, *, pause: float = 0) -> array[int]:
        """Ask again and again for so long, with a pause in between; return each answer's nanoseconds."""
        end, taken = time.monotonic() + seconds, array("q")
        while time.monotonic() < end:
            taken.append(await self.ask(request))
            if pause:
                await asyncio.sleep(pause)
        return taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Unanswered(f"the connection ended: {exc}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        received = self._received
        received += data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(received, 0, head)
        complete = (
            received.endswith(BODY_END) if length is None else len(received) >= head + 4 + int(length[1])
        )
        if not complete:
            return
        if received.startswith(b"HTTP/1.1 200 "):
            self._end(now)
        else:
            self._end(Unanswered(received[:300].decode("latin-1")))
        received.clear()

    def _end(self, outcome: int | Unanswered) -> None:
        if self._answered.done():
            return
        if isinstance(outcome, int):
            self._answered.set_result(outcome)
        else:
            self._answered.set_exception(outcome)
            # The one that waited for it may have been cancelled.
            self._answered.exception()


async def warm_up(port: int, request: bytes, *, requests: int = 300, connections: int = 8) -> None:
    """Ask so often on each of so many connections, so that everything has been done before it is measured."""

    async def one() -> None:
        async with Asking.connected(port) as client:
            for _ in range(requests // connections):
                await client.ask(request)

    await asyncio.gather(*(one() for _ in range(connections)))
