"""Bodies are written without waiting, framed by RFC 9112 section 7.1."""

from __future__ import annotations

import asyncio

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from lmgateway.aiohttp_private.relayed_response import write_now


class Written(asyncio.Transport):
    """A transport that collects what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False


async def written(*, chunked: bool) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = Written(), BaseProtocol(loop)
    protocol.connection_made(transport)
    writer = StreamWriter(protocol, loop)
    if chunked:
        writer.enable_chunking()
    await writer.write_headers("HTTP/1.1 200 OK", CIMultiDict())
    writer.send_headers()
    for chunk in (b"data: 1\n\n", b"", b"x" * 26):
        write_now(writer, chunk)
    return transport.data.removeprefix(b"HTTP/1.1 200 OK\r\n\r\n")


async def test_a_piece_is_a_chunk_and_an_empty_one_does_not_end_the_body() -> None:
    assert await written(chunked=True) == b"9\r\ndata: 1\n\n\r\n1a\r\n" + b"x" * 26 + b"\r\n"


async def test_without_chunks_the_bytes_are_written_as_they_are() -> None:
    assert await written(chunked=False) == b"data: 1\n\n" + b"x" * 26
