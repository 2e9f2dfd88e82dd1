"""A scripted LM Studio on a raw socket, which records every request."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest

from lmgateway.boxes.box import Box
from lmgateway.boxes.manageability import Manageability
from lmgateway.scheduling.looks import Looks
from tests.support.messages import Message, parse_head
from tests.support.raw_server import raw_server


@dataclass
class Received(Message):
    """One request."""

    line: str = ""

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


Script = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes = b"{}", *, status: str = "200 OK", content_type: str = "application/json", extra: str = ""
) -> Script:
    """Answer each request with this."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        )
        writer.write(head.encode("latin-1") + body)
        await writer.drain()

    return script


def answer_after(event: asyncio.Event) -> Script:
    """Answer each request, as soon as this is set."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await answer()(request, reader, writer)

    return script


def raw(*pieces: bytes, then_close: bool = True) -> Script:
    """Send exactly these bytes, and close the connection."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            writer.close()

    return script


async def silent(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the peer leaves."""
    await reader.read()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a killed process does."""
    on_close = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on_close)
    writer.transport.abort()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class ScriptedUpstream:
    """`reads_body` False leaves the body on the wire for the script to read."""

    script: Script = field(default_factory=answer)
    reads_body: bool = True
    port: int = 0
    received: list[Received] = field(default_factory=list)
    arrivals: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    connections: int = 0
    gone: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    """Has an item for each connection that a peer closed."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> Received:
        return self.received[-1]

    @property
    def posts(self) -> list[Received]:
        return [request for request in self.received if request.method == "POST"]

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing() and (request := await self._read(reader)):
                self.received.append(request)
                self.arrivals.put_nowait(request)
                await self.script(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.put_nowait(None)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, fields = parse_head(head)
        request = Received(fields, line=line)
        if self.reads_body:
            request.body = await read_body(request, reader)
        return request


async def read_body(request: Received, reader: asyncio.StreamReader) -> bytes:
    if request.one("Transfer-Encoding"):
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(pieces)
    return await reader.readexactly(int(request.one("Content-Length") or 0))


@contextmanager
def not_looking() -> Iterator[None]:
    """Have gateways request nothing by themselves: each request is one of the test's.

    What listens isn't LM Studio, as if it had been asked for its greeting: residency is off.
    """
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(Looks, "look", lambda _looks, _now: None)
        patches.setattr(Manageability, "needs_greeting", False)
        patches.setattr(Box, "is_unmanageable", True)
        patches.setattr(Box, "has_residency", lambda _box, _config: False)
        yield


@asynccontextmanager
async def scripted_upstream() -> AsyncIterator[ScriptedUpstream]:
    """The gateway's requests for lists, which it sends beside others, would be answered by any script."""
    upstream = ScriptedUpstream()
    with not_looking():
        async with raw_server(upstream.serve_connection) as upstream.port:
            yield upstream
