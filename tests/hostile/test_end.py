"""Promises about the end of the process, and about reloading its configuration."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.hostile.conftest import KEY
from tests.hostile.wire import GET, HEALTH, json_post, post, request
from tests.support.gateway import running_gateway
from tests.support.process import Process, serving
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, silent

Start = Callable[..., Awaitable[tuple[Process, int]]]


@pytest.fixture
async def start(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Start]:
    """Start the real command in front of the scripted upstream."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, **environ: str) -> tuple[Process, int]:
            environ = {"GATEWAY_API_KEY": KEY, "LMSTUDIO_BASE_URL": upstream.base_url, **environ}
            return await stack.enter_async_context(serving(tmp_path, *arguments, **environ))

        yield start


class Stream:
    """An upstream script: an event, and after `proceed` another one and the end."""

    def __init__(self) -> None:
        self.proceed = asyncio.Event()

    async def __call__(
        self, _request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await self.proceed.wait()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")


async def refused(port: int) -> None:
    """Wait until the port has no listener, and see that a connection is refused.

    Not by connecting: CPython 3.12 and 3.13 never close a connection accepted while the listener closes.
    """
    while _listens(port):
        await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        async with raw_client(port):
            pass


def _listens(port: int) -> bool:
    """True if binding fails: SO_REUSEADDR allows it beside open connections, not beside a listener."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


async def test_sigterm_lets_running_requests_finish_and_refuses_all_others(
    start: Start, upstream: ScriptedUpstream
) -> None:
    gateway, port = await start()
    stream = upstream.script = Stream()
    async with raw_client(port) as streaming, raw_client(port) as plain, raw_client(port) as idle:
        await streaming.send(GET)
        assert b" 200 " in await streaming.head()
        await idle.send(HEALTH)
        await idle.head()
        await plain.send(post(b"/v1/embeddings", b'{"model":"m"}'))
        for _ in range(2):
            await asyncio.wait_for(upstream.arrivals.get(), 5)
        gateway.send(signal.SIGTERM)
        await asyncio.wait_for(refused(port), 5)
        await idle.rest()
        stream.proceed.set()
        assert (await streaming.rest()).endswith(b"0\r\n\r\n")
        assert (await plain.rest()).endswith(b"0\r\n\r\n")
    status, output = await gateway.ends()
    assert status == 0
    assert "Traceback" not in output


async def test_a_connection_used_a_moment_ago_gets_one_more_response(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Its next request may be in flight already when the drain begins."""
    tables: dict[str, object] = {
        "lmstudio": {"base_url": upstream.base_url},
        "server": {"state_dir": str(tmp_path)},
        "auth": {"api_key": KEY},
    }
    running = running_gateway(tables, grace_seconds=20)
    gateway = await running.__aenter__()
    async with raw_client(gateway.port) as client:
        await client.send(GET)
        assert (await client.answer()).one("Connection") is None
        ending = asyncio.create_task(running.__aexit__(None, None, None))
        await asyncio.wait_for(refused(gateway.port), 5)
        await client.send(GET)
        last = await client.answer()
        assert (last.status, last.one("Connection")) == (200, "close")
        assert await client.rest() == b""
    await asyncio.wait_for(ending, 5)


async def test_requests_that_outlast_the_drain_time_are_cut_off_with_an_error(
    start: Start, upstream: ScriptedUpstream
) -> None:
    gateway, port = await start(GATEWAY_DRAIN_SECONDS="0.3")
    upstream.script = _begins
    async with raw_client(port) as streaming:
        await streaming.send(GET)
        assert b" 200 " in await streaming.head()
        async with raw_client(port) as pending:
            upstream.script = silent
            await pending.send(GET)
            for _ in range(2):
                await asyncio.wait_for(upstream.arrivals.get(), 5)
            gateway.send(signal.SIGTERM)
            refusal = await pending.head()
            assert b" 503 " in refusal
            assert b"Retry-After: " in refusal
        assert not (await streaming.rest()).endswith(b"0\r\n\r\n")
    assert (await gateway.ends())[0] == 0
    for _ in range(2):
        await asyncio.wait_for(upstream.gone.get(), 5)


async def _begins(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
    await silent(request, reader, writer)


async def test_a_second_signal_ends_at_once(start: Start, upstream: ScriptedUpstream) -> None:
    gateway, port = await start(GATEWAY_DRAIN_SECONDS="60")
    upstream.script = silent
    async with raw_client(port) as client:
        await client.send(GET)
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        gateway.send(signal.SIGTERM)
        await asyncio.wait_for(refused(port), 5)
        again = time.monotonic()
        gateway.send(signal.SIGTERM)
        assert b" 503 " in await client.head()
        await client.rest()
    assert (await gateway.ends())[0] == 0
    assert time.monotonic() - again < 3


async def test_sighup_puts_a_new_configuration_in_force_and_ends_no_stream(
    start: Start, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[auth]\napi_key = "{KEY}"\n')
    gateway, port = await start(GATEWAY_API_KEY="")
    stream = upstream.script = Stream()
    async with raw_client(port) as streaming, raw_client(port) as kept:
        await streaming.send(GET)
        assert b" 200 " in await streaming.head()
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        config.write_text('[auth]\napi_key = "another"\n[server]\nstate_dir = "elsewhere"\n')
        gateway.send(signal.SIGHUP)
        said = await gateway.says("the configuration is reloaded")
        assert "server.state_dir takes effect when the gateway is restarted" in said
        await kept.send(GET)
        assert b" 401 " in await kept.head()
        stream.proceed.set()
        rest = await asyncio.wait_for(streaming.reader.readuntil(b"0\r\n\r\n"), 5)
        assert b"data: 2" in rest


async def test_sighup_changes_how_large_a_head_may_be(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nhead_bytes = 4096\n")
    gateway, port = await start()
    large = request(b"GET /health", b"X-Large: " + b"x" * 20_000)
    for status in (431, 200, 431):
        async with raw_client(port) as client:
            assert (await client.ask(large)).status == status
        config.write_text(f"[limits]\nhead_bytes = {65_536 if status == 431 else 4096}\n")
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")


async def test_sighup_with_a_broken_file_changes_nothing_and_says_why(
    start: Start, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[auth]\napi_key = "{KEY}"\n')
    gateway, port = await start(GATEWAY_API_KEY="")
    config.write_text('[auth]\napi_key = "another"\nprot = 80\n')
    gateway.send(signal.SIGHUP)
    said = await gateway.says("the configuration is unchanged")
    assert "auth.prot: no such setting" in said
    async with raw_client(port) as client:
        await client.send(GET)
        assert b" 200 " in await client.head()


async def test_sighup_changes_the_lm_studio_of_new_requests_only(
    start: Start, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[lmstudio]\nbase_url = "{upstream.base_url}"\n')
    gateway, port = await start(LMSTUDIO_BASE_URL="")
    stream = upstream.script = Stream()
    async with raw_client(port) as client, raw_client(port) as later:
        await client.send(GET)
        await client.head()
        config.write_text('[lmstudio]\nbase_url = "http://127.0.0.1:9"\n')
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        await later.send(GET)
        assert b" 503 " in await later.head()
        stream.proceed.set()
        await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), 5)


async def test_a_log_that_isnt_read_blocks_no_request(start: Start, upstream: ScriptedUpstream) -> None:
    gateway, port = await start()
    upstream.script = answer()
    assert gateway.process.stdout is not None
    # Long paths fill the pipe and the buffer of the test's own reader soon.
    path = b"/v1/" + b"x" * 4000
    async with raw_client(port) as client:
        for _ in range(100):
            assert (await client.ask(request(b"GET " + path))).status == 200


async def test_a_state_folder_that_cant_be_written_fails_the_admin_call_and_leaves_the_rest_alone(
    start: Start, upstream: ScriptedUpstream
) -> None:
    _, port = await start(GATEWAY_STATE_DIR="/dev/null/state")
    async with raw_client(port) as client:
        sent = json_post(b"/admin/models/activate", b'{"modelKey":"m","type":"llm"}')
        answered = await client.ask(sent)
        assert (answered.status, b"state" in answered.body) == (500, True)
        assert (await client.ask(GET)).status == 200
