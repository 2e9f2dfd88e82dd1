"""A client on a raw socket, for input and output that HTTP libraries don't allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.messages import Message, parse_head
from tests.support.waiting import PATIENCE_SECONDS

# Raised by reading an incomplete response.
BROKEN = (asyncio.IncompleteReadError, ConnectionResetError)


@dataclass
class Answer(Message):
    """One response."""

    status: int = 0


def status_of(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


@dataclass
class RawClient:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """The next response head, interim ones too."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)

    async def answer_head(self) -> Answer:
        """The same, parsed."""
        line, fields = parse_head(await self.head())
        version, status, *_ = line.split(" ")
        assert version.startswith("HTTP/1."), line
        return Answer(fields, status=int(status))

    async def pieces(self, head: Answer) -> AsyncIterator[bytes]:
        """Yield the body's chunks, or all of it at once. Raises one of BROKEN if it ends before its end."""
        if head.one("Transfer-Encoding") is not None:
            assert (head.one("Transfer-Encoding"), head.one("Content-Length")) == ("chunked", None)
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                yield await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        elif (length := head.one("Content-Length")) is not None:
            yield await self.reader.readexactly(int(length))
        else:
            yield await self.reader.read()

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next response with its body; the answer to a HEAD has none. Raises one of BROKEN."""
        answer = await self.answer_head()
        if has_body and answer.status not in {204, 304}:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer.body = b"".join([piece async for piece in self.pieces(answer)])
        return answer

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and return its response."""
        await self.send(request)
        return await self.answer(has_body=not request.startswith(b"HEAD "))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_SECONDS)

    def hang_up(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_client(
    port: int, *, host: str = "127.0.0.1", source: str | None = None
) -> AsyncIterator[RawClient]:
    """Connect, from the address `source` if there is one."""
    reader, writer = await asyncio.open_connection(
        host, port, local_addr=(source, 0) if source is not None else None
    )
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
