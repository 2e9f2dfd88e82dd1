"""The gateway behind the real nginx with proxy_pass alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.conftest import StartGateway
from tests.support.ports import reserved_port
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk
from tests.support.waiting import STARTING_SECONDS

CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{gateway}; }} }}
}}
"""
PIECES = [b"data: %d\n\n" % number for number in range(4)]


async def until_it_listens(port: int) -> None:
    async with asyncio.timeout(STARTING_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@pytest.mark.long
async def test_events_are_not_buffered(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Each piece is at the client before LM Studio sends the next one."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert nginx is not None, "apt-get install nginx-light"
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
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=tmp_path, port=port, gateway=gateway.port))
        process = await asyncio.create_subprocess_exec(nginx, "-p", tmp_path, "-c", configuration)
    try:
        await until_it_listens(port)
        async with raw_client(port) as client, asyncio.timeout(20):
            await client.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: llm.example.com\r\nX-API-Key: k\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            arrived = b""
            async for piece in client.pieces(await client.answer_head()):
                arrived += piece
                has_it.put_nowait(None)
        assert arrived == b"".join(PIECES)
    finally:
        process.terminate()
        await process.wait()
