"""A stream whose LM Studio falls silent. Run in a network namespace of its own; status 0 if it breaks."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import time
from contextlib import suppress

from tests.support.gateway import running_gateway
from tests.support.raw_client import BROKEN, raw_client
from tests.support.upstream import STREAM_HEAD, chunk

STUDIO = "127.0.0.2"
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


async def begin_and_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
    # asyncio.start_server logs a cancelled connection as an error, and this is how it ends.
    with suppress(asyncio.CancelledError):
        await reader.read()


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    ip("link", "set", "lo", "up")
    server = await asyncio.start_server(begin_and_hang, STUDIO, 0)
    base_url = f"http://{STUDIO}:{server.sockets[0].getsockname()[1]}"
    async with (
        running_gateway({"lmstudio": {"base_url": base_url}}) as gateway,
        raw_client(gateway.port) as client,
    ):
        await client.send(ASK)
        pieces = client.pieces(await client.answer_head())
        await anext(pieces)
        # Every packet to it is dropped, as if its machine slept.
        ip("route", "add", "blackhole", f"{STUDIO}/32", "table", "local")
        began = time.monotonic()
        try:
            await asyncio.wait_for(anext(pieces), 60)
        except BROKEN:
            print(f"broke after {time.monotonic() - began:.0f} s")
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
