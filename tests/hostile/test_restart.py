"""A restart with socket activation: another process holds the port open, as systemd does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.hostile.conftest import KEY
from tests.hostile.wire import request
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk

# More by hand: LMGATEWAY_RESTART_REQUESTS=2000
REQUESTS = int(os.environ.get("LMGATEWAY_RESTART_REQUESTS", "400"))
AT_ONCE = 8
RESTARTS = 2
# sd_listen_fds(3): the socket is descriptor 3, and the variables are for this process alone.
ACTIVATED = """
import os, runpy, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
sys.argv[1:] = ["serve"]
runpy.run_module("lmgateway", run_name="__main__")
"""


@asynccontextmanager
async def activated(
    held: socket.socket, cwd: Path, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a gateway on an inherited socket."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ACTIVATED,
        str(held.fileno()),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environ},
        pass_fds=[held.fileno()],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(60 + REQUESTS / 10)
async def test_a_restart_refuses_no_request_and_cuts_no_stream(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    finish = asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.target == "/v1/stream":
            writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
            await finish.wait()
            writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
        else:
            await answer()(request, reader, writer)

    upstream.script = script
    environ = {"GATEWAY_API_KEY": KEY, "LMSTUDIO_BASE_URL": upstream.base_url, "HOME": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        port, answered = held.getsockname()[1], 0

        async def ask_on() -> None:
            """Each on a connection of its own: a kept-alive one may end."""
            nonlocal answered
            for _ in range(REQUESTS // AT_ONCE):
                connector = aiohttp.TCPConnector(force_close=True)
                async with aiohttp.ClientSession(connector=connector) as client:
                    url = f"http://127.0.0.1:{port}/v1/models"
                    async with client.get(url, headers={"X-API-Key": KEY}) as response:
                        assert response.status == 200
                answered += 1

        asking = asyncio.gather(*(ask_on() for _ in range(AT_ONCE)))
        async with activated(held, tmp_path, **environ) as first, raw_client(port) as streaming:
            await streaming.send(request(b"GET /v1/stream"))
            await asyncio.wait_for(streaming.reader.readuntil(b"data: 1"), 10)
            first.send_signal(signal.SIGTERM)
            for number in range(RESTARTS):
                async with activated(held, tmp_path, **environ) as running:
                    if not number:  # it waits for the first one, whose state folder it uses
                        finish.set()
                        rest = await asyncio.wait_for(streaming.reader.readuntil(b"0\r\n\r\n"), 10)
                        assert b"data: 2" in rest
                        assert await asyncio.wait_for(first.wait(), 20) == 0
                    due = REQUESTS * (number + 1) // (RESTARTS + 1)
                    while answered < due and not asking.done():
                        await asyncio.sleep(0.01)
                    running.send_signal(signal.SIGTERM)
                    assert await asyncio.wait_for(running.wait(), 20) == 0
            async with activated(held, tmp_path, **environ):
                await asyncio.wait_for(asking, 60)
    assert answered == REQUESTS // AT_ONCE * AT_ONCE
