"""The gateway behind the real nginx with proxy_pass alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conftest import StartGateway
from tests.support.ports import reserved_port
from tests.support.raw_client import raw_client
from tests.support.reverse_proxies import running_nginx
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk

SERVER = "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{gateway}; }} }}"
PIECES = [b"data: %d\n\n" % number for number in range(4)]


async def test_events_are_not_buffered(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Each piece is at the client before LM Studio sends the next one."""
    has_it = asyncio.Queue[None]()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for piece in PIECES:
            writer.write(chunk(piece))
            await has_it.get()
        writer.write(b"0\r\n\r\n")

    upstream.script = script
    gateway = await start_gateway(upstream.base_url, auth={"api_key": "k"})
    with reserved_port() as (port, reserved):
        reserved.close()
        server = SERVER.format(port=port, gateway=gateway.port)
        async with running_nginx(tmp_path, server, port), raw_client(port) as client, asyncio.timeout(20):
            await client.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: llm.example.com\r\nX-API-Key: k\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            arrived = b""
            async for piece in client.pieces(await client.answer_head()):
                arrived += piece
                has_it.put_nowait(None)
    assert arrived == b"".join(PIECES)
