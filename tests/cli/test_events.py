"""`lmgateway events`, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from aiohttp import test_utils, web

from lmgateway.cli import events, main
from lmgateway.schema.models import ActivateRequest
from lmgateway.web.state import MODELS
from tests.cli.conftest import Commands
from tests.conftest import StartGateway
from tests.support.process import lmgateway
from tests.support.reloading import reload

LLM = "qwen2.5-7b-instruct"


async def test_events_as_lines_and_as_json(commands: Commands) -> None:
    """Lines for people; with --json objects; with --type only those kinds."""
    remote = ("events", *commands.access)
    async with (
        lmgateway(*remote, cwd=commands.folder) as plain,
        lmgateway(*remote, "--json", "--type", "model_activate", cwd=commands.folder) as piped,
    ):
        await plain.line("connected")
        await piped.line("connected")
        await commands.gateway.app[MODELS].activate(ActivateRequest(model_key=LLM))
        assert f"model_activate modelKey={LLM}" in await plain.line("model_activate")
        event = json.loads(await piped.line("event"))
        assert (event["event"], event["modelKey"]) == ("model_activate", LLM)


async def test_a_reader_may_close_the_pipe(start_gateway: StartGateway, tmp_path: Path) -> None:
    """`| head -1` ends it at the next event; that is no lost connection."""
    gateway = await start_gateway("http://127.0.0.1:9")
    reader, writer = os.pipe()
    async with lmgateway("events", "--url", gateway.base_url, cwd=tmp_path, stdout=writer) as watching:
        os.close(writer)
        assert b"connected" in await asyncio.to_thread(os.read, reader, 4096)
        os.close(reader)
        async with gateway.client.get(gateway.url("/v1/models")) as response:
            assert response.status == 503
        assert await asyncio.wait_for(watching.process.wait(), 20) == 141


async def test_a_full_disk_is_reported(start_gateway: StartGateway, tmp_path: Path) -> None:
    """`> file` on it ends with a sentence on the terminal."""
    gateway = await start_gateway("http://127.0.0.1:9")
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lmgateway", "events", "--url", gateway.base_url),
            cwd=tmp_path,
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 74
    assert errors == b"lmgateway: the output can't be written: No space left on device\n"


async def test_a_lost_connection_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It reconnects. Failed reconnects aren't reported again; a second loss is; a wrong key ends it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0)
    connected = b'event: connected\ndata: {"message": "hello"}\n\n'
    statuses = iter((200, 503, 503, 200, 503, 401))

    async def stream(_: web.Request) -> web.Response:
        status = next(statuses)
        if status == 200:
            return web.Response(body=connected)
        return web.json_response({"error": "Not now."}, status=status)

    async def state(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/debug/status", state)
    app.router.add_get("/debug/stream", stream)
    async with test_utils.TestServer(app) as server:
        status = await asyncio.to_thread(main, ["events", "--url", str(server.make_url("/"))])
    shown = capsys.readouterr()
    assert (status, shown.out.count("connected"), shown.err.count("Retrying.")) == (77, 2, 2)


async def test_a_key_that_is_changed_ends_it(commands: Commands) -> None:
    """With the exit status and the sentence for a wrong key."""
    async with lmgateway("events", *commands.access, cwd=commands.folder) as watching:
        connected = await watching.line("connected")
        reload(commands.gateway, auth={"api_key": "another key"})
        status, output = await watching.ends()
    assert status == 77
    assert output.removeprefix(connected) == (
        "lmgateway: The gateway doesn't accept this key: it is wrong, was revoked, or has expired. Give "
        "another one with --key, or in GATEWAY_API_KEY. The owner's is auth.api_key in the gateway's "
        "config.toml. It makes others: `lmgateway keys add NAME`.\n"
    )
