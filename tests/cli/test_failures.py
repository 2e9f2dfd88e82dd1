"""How a command ends that can't do what it was asked to, or has no gateway to talk to."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import test_utils, web

from lmgateway.cli import main
from lmgateway.cli.failures import RequestFailed
from lmgateway.cli.gateway_client import gateway_client
from lmgateway.settings import SETTINGS
from lmgateway.simulator.engine.switches import Switches
from tests.cli.conftest import KEY, Commands
from tests.conftest import StartGateway
from tests.support.process import run, run_here

CHAT = "qwen2.5-7b-instruct"
NOWHERE = "http://127.0.0.1:9"


LOAD, IPV6 = ["load", CHAT], ["--set=server.host=::1", "--set=server.port=9"]
FAILURES = [
    pytest.param([*LOAD, "--with", "contextLength=-1"], 65, "--with contextLength=-1: ", id="bad value"),
    pytest.param(
        [*LOAD, "--with", "contextLength=abc"],
        65,
        "lmgateway: --with contextLength=abc: write a whole number of at least 1",
        id="text for a number",
    ),
    pytest.param([*LOAD, "--with", "contextLenght=1"], 65, "mean contextLength?", id="misspelt setting"),
    pytest.param([*LOAD, "--with", "contextLength"], 64, "write NAME=VALUE", id="no value"),
    pytest.param([*LOAD, "--with=gpu=1", "--with=gpu.ratio=1"], 65, "gpu", id="both"),
    pytest.param(["load", "qwen2.5-7b"], 66, CHAT, id="unknown model"),
    pytest.param(["activate", "lama"], 66, "The nearest on its disk: llama-3.2-", id="misspelt model"),
    pytest.param(["chat", "Hi", "-m", "lama"], 66, "The nearest: llama-3.2-", id="misspelt model to ask"),
    pytest.param(
        ["chat", "Hi", "-m", "xyzzy"], 66, "`lmgateway models` lists its models", id="strange model"
    ),
    pytest.param(["unload", CHAT], 66, f"Nothing named {CHAT} is loaded", id="nothing loaded"),
    pytest.param(
        ["models", "--url", NOWHERE],
        69,
        "Nothing answers at http://127.0.0.1:9: Connection refused. Start a gateway",
        id="no gateway",
    ),
    pytest.param([*LOAD, "--url", NOWHERE], 69, "give its address with --url", id="no gateway to load"),
    pytest.param(["models", *IPV6], 69, "Nothing answers at http://[::1]:9", id="IPv6"),
    pytest.param(["models", "--url", ""], 64, "--url", id="empty URL"),
    pytest.param(
        ["models", "--url", "http://127.0.0.1/v1"], 64, "write http://host:port", id="path in the URL"
    ),
    pytest.param(["models", "--url", "localhost:8002"], 64, "localhost:8002", id="no URL"),
    pytest.param(["models", "--url", "STUDIO"], 69, "isn't an lmgateway", id="LM Studio"),
    pytest.param(["models", "--url", "http://nobody.invalid"], 69, "Name or service not known", id="no host"),
    pytest.param(["models", "--url", "TLS"], 69, "Write http:// in --url", id="no TLS"),
    pytest.param(["models", "--key", "wrong"], 77, "`lmgateway keys add NAME`", id="wrong key"),
    pytest.param(["models", "--key", ""], 77, "requires a key. Give it with --key", id="no key"),
    pytest.param([*LOAD, "--key", "wrong"], 77, "doesn't accept", id="wrong key to load"),
    pytest.param(["cancel", CHAT], 66, f"Nothing named {CHAT} is being loaded", id="nothing to cancel"),
    pytest.param(["events", "--type", "eror"], 65, "did you mean error?", id="misspelt event"),
    pytest.param([*LOAD, "--with", "contextLength=99999"], 1, "resources", id="out of memory"),
    pytest.param(["models", "--set", "server.prot=1"], 78, "did you mean server.port?", id="broken config"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), FAILURES)
async def test_exit_status(
    commands: Commands,
    arguments: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The status tells a script what is wrong, and one line tells a person."""
    commands.simulator.switches = Switches(auto_fit=False)
    monkeypatch.chdir(commands.folder)
    for variable in {name for setting in SETTINGS.values() for name in setting.env}:
        monkeypatch.delenv(variable, raising=False)
    places = {"STUDIO": commands.studio_url, "TLS": f"https://127.0.0.1:{commands.gateway.port}"}
    arguments = [places.get(argument, argument) for argument in arguments]
    if "--key" not in arguments:
        arguments += ["--key", KEY]
    if "--url" not in arguments and IPV6[0] not in arguments:
        arguments += ["--url", commands.gateway.base_url]
    # In a thread beside the gateway, because a process for each would take longer than all other tests.
    ended = await asyncio.to_thread(main, arguments)
    *progress, line = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(rf"{CHAT} \d+ %", text) for text in progress)
    assert line.startswith("lmgateway: ")
    assert message in line
    assert ended == status


@asynccontextmanager
async def untrusted() -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def of_another_kind() -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"detail": "Not Found"}, status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/"))


@asynccontextmanager
async def unresponsive() -> AsyncIterator[str]:
    """A host that seems to be off: its backlog is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (untrusted, "isn't trusted"),
        (of_another_kind, "The server at this address isn't an lmgateway."),
        (unresponsive, "give its address with --url"),
    ],
)
async def test_no_gateway_to_talk_to(
    place: Callable[[], AbstractAsyncContextManager[str]], message: str
) -> None:
    """The message says what is at the address instead of a gateway."""
    async with place() as url, gateway_client(url, "", connect_seconds=0.1) as gateway:
        with pytest.raises(RequestFailed, match=re.escape(message)) as failed:
            await gateway.request("GET", "/admin/models")
    assert failed.value.exit_status == 69


async def test_the_demo_refuses_another_key(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A configuration of this folder has a key, but the demo has the port."""
    gateway = await start_gateway(NOWHERE, auth={"api_key": "demo"}, lmstudio={"connect_attempts": 1})
    status, output = await run_here("models", "--url", gateway.base_url, "--key", "mine", cwd=tmp_path)
    hint = f"`lmgateway demo` runs at {gateway.base_url}. Its key is demo: --key demo"
    assert (status, output) == (77, f"lmgateway: {hint}\n")


async def test_lm_studio_is_down(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The message names LM Studio and not the gateway; the status is that of an unavailable service."""
    gateway = await start_gateway(NOWHERE, lmstudio={"connect_attempts": 1})
    status, output = await run("models", "--url", gateway.base_url, cwd=tmp_path)
    assert status == 69
    assert "LM Studio" in output
