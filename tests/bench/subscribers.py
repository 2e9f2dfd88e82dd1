"""Readers of /debug/stream, who read everything and look at nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from .wire import Door

_BUFFER_BYTES = 256 * 1024


class Subscriber(asyncio.BufferedProtocol):
    """One of them; all of them read into the same buffer."""

    _buffer = bytearray(_BUFFER_BYTES)

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.listens = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.listens.set()


@asynccontextmanager
async def subscribed(door: Door, number: int) -> AsyncIterator[None]:
    """Have so many readers inside."""
    loop, request = asyncio.get_running_loop(), door.get("/debug/stream")
    opened = [
        await loop.create_connection(lambda: Subscriber(request), "127.0.0.1", door.port)
        for _ in range(number)
    ]
    try:
        async with asyncio.timeout(5):
            for _, subscriber in opened:
                await subscriber.listens.wait()
        yield
    finally:
        for transport, _ in opened:
            transport.abort()
