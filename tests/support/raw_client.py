"""A client on a raw socket, for what no HTTP library would send or show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Answer:
    """One response as it came over the wire. `headers` are name and value pairs, in order, as spelt."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None


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
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next response with its body; the answer to a HEAD has none."""
        head = await self.head()
        _, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = [(name, value.strip()) for name, _, value in (text.partition(":") for text in fields)]
        answer = Answer(status_of(head), pairs)
        if has_body and answer.status not in {204, 304}:
            answer.body = await asyncio.wait_for(self._body(answer), 5)
        return answer

    async def _body(self, answer: Answer) -> bytes:
        if answer.one("Transfer-Encoding"):
            pieces = []
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                pieces.append(await self.reader.readexactly(size))
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return b"".join(pieces)
        if (length := answer.one("Content-Length")) is not None:
            return await self.reader.readexactly(int(length))
        return await self.reader.read()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), 5)

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
