"""Connections to LM Studio, as the kernel sees them."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lmgateway.boxes.http.response import UpstreamResponse
from tests.conftest import StartGateway
from tests.support.raw_client import BROKEN, raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def connection_to(port: int) -> Iterator[socket.socket]:
    """Yield this process's own end of its connection to this port."""
    [descriptor] = [
        one.fd
        for one in psutil.Process().net_connections("tcp")
        if one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
    ]
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        yield connection


async def begin_and_hang(
    _request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
    await reader.read()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other names for the options")
async def test_a_machine_that_is_gone_is_noticed_within_30_s(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """One that suspends sends no FIN, and its silence looks like a model that is thinking."""
    upstream.script = begin_and_hang
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(ASK)
        await client.answer_head()
        with connection_to(upstream.port) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, pause, probes = (
                connection.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
    assert idle + pause * probes == 30


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EHOSTUNREACH])
async def test_the_log_says_that_the_machine_is_gone(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The kernel's error after unanswered probes breaks the stream, and the log has its reason."""
    wait_end = UpstreamResponse.wait_end

    async def lose_machine(response: UpstreamResponse, on_data) -> None:  # type: ignore[no-untyped-def]
        transport = response._response.connection.transport  # type: ignore[union-attr]
        # What the event loop's transport calls when recv() fails.
        transport._fatal_error(OSError(number, os.strerror(number)))  # type: ignore[union-attr]
        await wait_end(response, on_data)

    monkeypatch.setattr(UpstreamResponse, "wait_end", lose_machine)
    upstream.script = begin_and_hang
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(ASK)
        with pytest.raises(BROKEN):
            async for _ in client.pieces(await client.answer_head()):
                pass
    assert "LM Studio's machine can't be reached any more" in caplog.text


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a network of its own")
async def test_a_machine_that_falls_silent_breaks_its_stream() -> None:
    """With the real kernel, in half a minute, and with the reason in the log."""
    assert shutil.which("ip") is not None, "apt-get install iproute2"
    script = Path(__file__).with_name("falling_silent.py")
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, "-m", f"tests.boxes.{script.stem}"),
        cwd=script.parents[2],
        stderr=asyncio.subprocess.STDOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()
    assert "LM Studio's machine can't be reached any more" in output.decode()
