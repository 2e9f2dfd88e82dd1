"""A TCP relay that records what passes, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

from tests.support.messages import parse_head
from tests.support.raw_client import Answer, RawClient
from tests.support.raw_server import raw_server
from tests.support.upstream import Received, read_body

_PIECE_BYTES = 64 * 1024


@dataclass
class Relay:
    """`recordings` has the bytes of each connection: those of the client, those of the server."""

    target_port: int
    port: int = 0
    recordings: list[tuple[bytearray, bytearray]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on until one side ends; then the other side is ended too."""
        with closing(writer):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            try:
                asked, answered = bytearray(), bytearray()
                self.recordings.append((asked, answered))
                async with asyncio.TaskGroup() as ways:
                    to_server = ways.create_task(_pass_on(reader, server_writer, asked))
                    to_client = ways.create_task(_pass_on(server_reader, writer, answered))
                    to_server.add_done_callback(lambda _: to_client.cancel())
                    to_client.add_done_callback(lambda _: to_server.cancel())
            finally:
                server_writer.close()
                with suppress(ConnectionError):
                    await server_writer.wait_closed()

    async def exchanges(self, path: str) -> list[tuple[Received, Answer]]:
        """Return the requests with this path, with their responses, in the order of their connections."""
        every = [pair for recording in self.recordings async for pair in _exchanges(*recording)]
        return [(request, answer) for request, answer in every if request.target == path]

    async def exchange(self, path: str) -> tuple[Received, Answer]:
        """Return the only one."""
        (only,) = await self.exchanges(path)
        return only


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recording: bytearray) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE_BYTES):
            recording += piece
            writer.write(piece)
            await writer.drain()


async def _exchanges(asked: bytes, answered: bytes) -> AsyncIterator[tuple[Received, Answer]]:
    """Parse a connection's bytes. A request without a response is left out."""
    requests, responses = _reader(asked), _reader(answered)
    while not requests.at_eof() and not responses.at_eof():
        line, fields = parse_head(await requests.readuntil(b"\r\n\r\n"))
        request = Received(fields, line=line)
        request.body = await read_body(request, requests)
        client = RawClient(responses, None)  # type: ignore[arg-type]  # it only reads
        yield request, await client.answer()


def _reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(bytes(data))
    reader.feed_eof()
    return reader


@asynccontextmanager
async def recording_relay(target_port: int) -> AsyncIterator[Relay]:
    relay = Relay(target_port)
    async with raw_server(relay.relay) as relay.port:
        yield relay
