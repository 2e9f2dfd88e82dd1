"""Promises about the end of the process, and about its configuration being replaced under it."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lmgateway.server import connection_limits as connections
from tests.hostile.conftest import FIELDS, KEY
from tests.hostile.wire import request
from tests.support.gateway import running_gateway
from tests.support.process import Process, lmgateway
from tests.support.raw_client import RawClient, raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk

Start = Callable[..., Awaitable[tuple[Process, int]]]


@pytest.fixture
async def start(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Start]:
    """Start the real command in front of the scripted upstream."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, **environ: str) -> tuple[Process, int]:
            environ = {"GATEWAY_API_KEY": KEY, "LMSTUDIO_BASE_URL": upstream.base_url, **environ}
            command = ("serve", "--host", "127.0.0.1", "--port", "0", *arguments)
            gateway = await stack.enter_async_context(lmgateway(*command, cwd=tmp_path, **environ))
            return gateway, await gateway.port()

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


async def ask(client: RawClient, path: str = "/v1/models") -> None:
    await client.send(request(b"GET " + path.encode()))


async def refused(port: int) -> None:
    """Wait until nobody listens any more, so that who comes now is refused.

    Not by connecting: CPython 3.12 and 3.13 never close what they accept in the moment in which they stop.
    """
    while _listens(port):
        await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        async with raw_client(port):
            pass


def _listens(port: int) -> bool:
    """Tell whether somebody does: only then the port can't be had beside its open connections."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


async def test_sigterm_lets_a_stream_and_a_plain_request_finish_and_turns_everybody_else_away(
    start: Start, upstream: ScriptedUpstream
) -> None:
    gateway, port = await start()
    stream = upstream.script = Stream()
    async with raw_client(port) as streaming, raw_client(port) as plain, raw_client(port) as idle:
        await ask(streaming)
        assert b" 200 " in await streaming.head()
        await ask(idle, "/health")
        await idle.head()
        body = b'{"model":"m"}'
        head = b"POST /v1/embeddings HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (FIELDS, len(body))
        await plain.send(head + body)
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


async def test_who_used_a_connection_just_now_is_answered_once_more(
    upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next request may be on its way already when the end begins."""
    monkeypatch.setattr(connections, "GRACE_SECONDS", 20)
    tables: dict[str, object] = {
        "lmstudio": {"base_url": upstream.base_url},
        "server": {"state_dir": str(tmp_path)},
        "auth": {"api_key": KEY},
    }
    running = running_gateway(tables)
    gateway = await running.__aenter__()
    async with raw_client(gateway.port) as client:
        await ask(client)
        assert (await client.answer()).one("Connection") is None
        ending = asyncio.create_task(running.__aexit__(None, None, None))
        await asyncio.wait_for(refused(gateway.port), 5)
        await ask(client)
        last = await client.answer()
        assert (last.status, last.one("Connection")) == (200, "close")
        assert await client.rest() == b""
    await asyncio.wait_for(ending, 5)


async def test_what_still_runs_after_the_drain_time_is_cut_off_with_an_error(
    start: Start, upstream: ScriptedUpstream
) -> None:
    gateway, port = await start(GATEWAY_DRAIN_SECONDS="0.3")
    upstream.script = _begins
    async with raw_client(port) as streaming:
        await ask(streaming)
        assert b" 200 " in await streaming.head()
        async with raw_client(port) as pending:
            upstream.script = _never
            await ask(pending)
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
    await _never(request, reader, writer)


async def _never(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer no more, until the gateway leaves."""
    await reader.read()
    writer.close()


async def test_a_second_signal_ends_at_once(start: Start, upstream: ScriptedUpstream) -> None:
    gateway, port = await start(GATEWAY_DRAIN_SECONDS="60")
    upstream.script = _never
    async with raw_client(port) as client:
        await ask(client)
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
        await ask(streaming)
        assert b" 200 " in await streaming.head()
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        config.write_text('[auth]\napi_key = "another"\n[server]\nstate_dir = "elsewhere"\n')
        gateway.send(signal.SIGHUP)
        said = await gateway.says("the configuration is reloaded")
        assert "server.state_dir takes effect when the gateway is restarted" in said
        await ask(kept)
        assert b" 401 " in await kept.head()
        stream.proceed.set()
        rest = await asyncio.wait_for(streaming.reader.readuntil(b"0\r\n\r\n"), 5)
        assert b"data: 2" in rest


async def test_sighup_changes_how_large_a_head_may_be(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nhead_bytes = 4096\n")
    gateway, port = await start()
    large = b"GET /health HTTP/1.1\r\n%sX-Large: %s\r\n\r\n" % (FIELDS, b"x" * 20_000)
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
        await ask(client)
        assert b" 200 " in await client.head()


async def test_sighup_leads_to_another_lm_studio_and_back_to_the_old_one_for_what_has_begun(
    start: Start, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[lmstudio]\nbase_url = "{upstream.base_url}"\n')
    gateway, port = await start(LMSTUDIO_BASE_URL="")
    stream = upstream.script = Stream()
    async with raw_client(port) as client, raw_client(port) as later:
        await ask(client)
        await client.head()
        config.write_text('[lmstudio]\nbase_url = "http://127.0.0.1:9"\n')
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        await ask(later)
        assert b" 503 " in await later.head()
        stream.proceed.set()
        await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), 5)


async def test_a_log_that_nobody_reads_holds_up_nobody(start: Start, upstream: ScriptedUpstream) -> None:
    gateway, port = await start()
    upstream.script = answer()
    assert gateway.process.stdout is not None
    # What the test's own reader buffers comes on top of the pipe; the paths are long so that it fills soon.
    path = "/v1/" + "x" * 4000
    async with raw_client(port) as client:
        for _ in range(100):
            await ask(client, path)
            head = await client.head()
            await client.reader.readexactly(2)
            assert b" 200 " in head


async def test_a_state_folder_that_cant_be_written_fails_the_admin_call_and_leaves_the_rest_alone(
    start: Start, upstream: ScriptedUpstream
) -> None:
    _, port = await start(GATEWAY_STATE_DIR="/dev/null/state")
    body = b'{"modelKey":"m","type":"llm"}'
    line = b"POST /admin/models/activate HTTP/1.1\r\n"
    fields = b"%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (FIELDS, len(body))
    async with raw_client(port) as client:
        await client.send(line + fields + body)
        assert b" 500 " in await client.head()
        error = await asyncio.wait_for(client.reader.readuntil(b"}"), 5)
        assert b"state" in error
        await ask(client)
        assert b" 200 " in await client.head()
