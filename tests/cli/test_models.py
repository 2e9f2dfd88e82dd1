"""The commands that manage models, run as a user runs them, with a pretend LM Studio behind the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shlex
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiohttp import test_utils, web

from lmgateway.cli import gateway_client as client
from lmgateway.cli import main
from lmgateway.cli.failures import RequestFailed
from lmgateway.settings import SETTINGS
from lmgateway.simulator import Pace, Simulator, serve
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.process import lmgateway

CHAT, OTHER, KEY = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "the key"
NOWHERE = "http://127.0.0.1:9"


class HalfWay(Pace):
    """No delay, but a load stops half-way until it may go on."""

    def __init__(self) -> None:
        super().__init__(load_seconds=0)
        self.may_go_on = asyncio.Event()

    async def load(self, fraction: float) -> None:
        if fraction >= 0.5:
            await self.may_go_on.wait()
        await super().load(fraction)


@dataclass
class Home:
    gateway: Gateway
    studio: Simulator
    folder: Path
    pace: HalfWay
    base_url: str

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run a command here that has the gateway's address and key on its command line."""
        return await self.run_bare(*arguments, "--url", self.gateway.base_url, "--key", KEY, **environ)

    async def run_bare(self, *arguments: str, **environ: str) -> tuple[int, str]:
        async with lmgateway(*arguments, cwd=self.folder, **environ) as command:
            return await command.ends()


@pytest.fixture
async def home(start_gateway: StartGateway, tmp_path: Path) -> AsyncIterator[Home]:
    pace = HalfWay()
    pace.may_go_on.set()
    studio = Simulator(pace=pace)
    async with serve(studio, "127.0.0.1", 0) as port:
        base_url = f"http://127.0.0.1:{port}"
        yield Home(await start_gateway(base_url, auth={"api_key": KEY}), studio, tmp_path, pace, base_url)


@dataclass
class Terminal:
    """A command whose stderr, or everything, is shown on a terminal; `shown` is what came so far."""

    process: asyncio.subprocess.Process
    screen: int
    shown: str = ""

    async def until(self, text: str) -> None:
        while text not in self.shown:
            self.shown += (await asyncio.wait_for(asyncio.to_thread(os.read, self.screen, 4096), 20)).decode()

    async def rest(self) -> None:
        with suppress(OSError):  # how a terminal says that nobody is left to write to it
            await self.until("\0")


@asynccontextmanager
async def on_terminal(home: Home, *arguments: str, stdout: int | None = None) -> AsyncIterator[Terminal]:
    screen, side = pty.openpty()
    command = (sys.executable, "-m", "lmgateway", *arguments, "--url", home.gateway.base_url, "--key", KEY)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=home.folder, stdin=asyncio.subprocess.DEVNULL, stdout=stdout or side, stderr=side
    )
    os.close(side)
    try:
        yield Terminal(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        os.close(screen)


async def test_table(home: Home) -> None:
    """One line for each instance and for each model that has none, so that a person sees what is what."""
    home.studio.load(CHAT)
    home.studio.load(CHAT, "second")
    assert await home.run("activate", CHAT, "--id", "second") == (
        0,
        "second is now the active model.\n",
    )
    assert await home.run("models") == (
        0,
        """\
        MODEL                                 TYPE       SIZE    CONTEXT
loaded  qwen2.5-7b-instruct                   llm        4.7 GB  4096
active  second                                llm        4.7 GB  4096
        llama-3.2-3b-instruct                 llm        2.0 GB
        qwen2.5-vl-7b-instruct                llm        6.0 GB
        text-embedding-nomic-embed-text-v1.5  embedding  84 MB
""",
    )


async def test_active_without_being_loaded(home: Home) -> None:
    """LM Studio loads it when it is asked for, if it is allowed to; the list says which that will be."""
    home.studio.load(CHAT)
    await home.run("activate", OTHER)
    _, output = await home.run("models")
    lines = [line.split("  ")[0] for line in output.splitlines()]
    assert output.count(OTHER) == 1
    assert f"active, not loaded  {OTHER}" in output
    assert lines.count("loaded") == 1
    assert await home.run("deactivate", "--type", "llm") == (
        0,
        "No model is active now: requests must name one.\n",
    )
    assert "active" not in (await home.run("models"))[1]


async def test_active_by_a_name_that_is_not_loaded(home: Home) -> None:
    """The model itself is listed all the same, by the key that it can be loaded by."""
    await home.run("activate", CHAT, "--id", "second")
    _, output = await home.run("models")
    assert "active, not loaded  second" in output
    assert output.count(CHAT) == 1


async def test_a_second_copy_is_told_of(home: Home) -> None:
    """It takes as much memory again, which is rarely meant."""
    home.studio.load(CHAT)
    status, output = await home.run("load", CHAT)
    assert (status, f"{CHAT} is loaded already ({CHAT}). This loads another instance." in output) == (
        0,
        True,
    )


async def test_default_parameters(home: Home) -> None:
    """They are given with the model that they are for."""
    home.studio.load(CHAT)
    for command in (["activate", CHAT, "--type", "llm"], ["load", OTHER]):
        status, output = await home.run(*command, "--default", "temperature=0.7", "--default", "maxTokens=5")
        assert status == 0, output
        async with home.gateway.client.get(
            home.gateway.url("/admin/models/active"), headers={"X-API-Key": KEY}
        ) as response:
            active = (await response.json())["activeModel"]
        assert (active["modelKey"], active["defaultInference"]) == (
            command[1],
            {"temperature": 0.7, "maxTokens": 5},
        )


async def test_ctrl_c_leaves_a_load_that_can_be_cancelled(home: Home) -> None:
    """Whoever stops waiting is told that LM Studio doesn't stop, and how to stop it."""
    home.pace.may_go_on.clear()
    async with on_terminal(home, "load", CHAT) as terminal:
        await terminal.until("45.0 %")
        terminal.process.send_signal(signal.SIGINT)
        await terminal.rest()
        assert await terminal.process.wait() == 130
    told = re.search(r"run `lmgateway (cancel .*)`", terminal.shown)
    assert told is not None
    status, output = await home.run_bare(*shlex.split(told[1]), "--key", KEY)
    assert (status, output) == (0, f"The load of {CHAT} was cancelled.\n")


async def test_json(home: Home) -> None:
    """Scripts get the gateway's own answers, and nothing else on stdout."""
    home.studio.load(CHAT)
    for command, key in (
        (["models"], "loaded"),
        (["activate", CHAT], "status"),
        (["unload", CHAT], "status"),
    ):
        status, output = await home.run(*command, "--json")
        assert status == 0
        assert key in json.loads(output)


async def test_load_tells_its_progress_in_lines(home: Home) -> None:
    """In a log file each quarter is a line, while it loads; then what came of it."""
    home.pace.may_go_on.clear()
    url = ("--url", home.gateway.base_url, "--key", KEY)
    async with lmgateway("load", CHAT, *url, cwd=home.folder) as command:
        assert command.process.stdout is not None
        assert await asyncio.wait_for(command.process.stdout.readline(), 20) == f"{CHAT} 25 %\n".encode()
        home.pace.may_go_on.set()
        status, output = await command.ends()
    assert status == 0
    *progress, last = output.splitlines()
    assert last == f"{CHAT} is loaded and is now the active model."
    assert set(progress) <= {f"{CHAT} {percent} %" for percent in (50, 75, 100)}
    assert "\r" not in output


async def test_load_shows_a_bar_on_a_terminal(home: Home) -> None:
    """A person watches one line grow; nothing is left of it in what a script would read."""
    home.pace.may_go_on.clear()
    async with on_terminal(home, "load", CHAT, "--json", stdout=asyncio.subprocess.PIPE) as terminal:
        await terminal.until(f"\r{CHAT} [{'#' * 14:<30}]  45.0 %")
        home.pace.may_go_on.set()
        await terminal.rest()
        output, _ = await terminal.process.communicate()
    assert terminal.process.returncode == 0
    assert json.loads(output)["status"] == "loaded"


async def test_error_has_a_line_of_its_own(home: Home) -> None:
    """A load that fails half-way doesn't write its reason behind the bar."""
    home.pace.may_go_on.clear()
    async with on_terminal(home, "load", CHAT, "--with", "contextLength=99999") as terminal:
        await terminal.until("45.0 %")
        home.pace.may_go_on.set()
        await terminal.rest()
        assert await terminal.process.wait() == 1
    assert terminal.shown.splitlines()[-1].startswith("lmgateway: Failed to load model.")


async def test_load_with_everything(home: Home) -> None:
    """Settings, name, time to live and leaving the active model alone reach LM Studio as they were given."""
    wanted = [
        "contextLength=8192",
        "flashAttention=false",
        "gpu.ratio=0.5",
        "llamaKCacheQuantizationType=q8_0",
    ]
    settings = [part for setting in [*wanted, "gpu.layers=3", "cpuThreads=2"] for part in ("--with", setting)]
    command = ("load", CHAT, "--id", "mine", "--ttl", "60", "--no-activate", "--json", *settings)
    async with on_terminal(home, *command, stdout=asyncio.subprocess.PIPE) as terminal:
        await terminal.rest()
        output, _ = await terminal.process.communicate()
    answer = json.loads(output)
    assert (answer["identifier"], answer["activated"]) == ("mine", False)
    assert answer["loadConfig"].items() >= {"contextLength": 8192, "flashAttention": False}.items()
    assert answer["loadConfig"]["gpu"]["ratio"] == 0.5
    assert answer["loadConfig"]["llamaKCacheQuantizationType"] == "q8_0"
    assert "Ignored gpu.layers: not a load setting of LM Studio." in terminal.shown
    assert "Ignored cpuThreads: not a load setting of LM Studio." in terminal.shown
    (instance,) = json.loads((await home.run("models", "--json"))[1])["loaded"]
    assert (instance["identifier"], instance["ttlMs"], instance["active"]) == ("mine", 60_000, False)


async def test_unload(home: Home) -> None:
    """With a name exactly that instance goes; without one, all of the model."""
    for identifier in ("a", "b", "c"):
        home.studio.load(CHAT, identifier)
    assert await home.run("unload", CHAT, "--id", "b") == (0, "Unloaded b.\n")
    assert await home.run("unload", CHAT) == (0, "Unloaded a, c.\n")


@pytest.mark.parametrize("source", ["file", "environment", ".env", "--set", "--config"])
async def test_gateway_of_this_machine(home: Home, source: str) -> None:
    """Where the gateway itself is configured, its commands need no address and no key."""
    file = f'[server]\nport = {home.gateway.port}\n[auth]\napi_key = "{KEY}"\n'
    environ = {"GATEWAY_PORT": str(home.gateway.port), "GATEWAY_API_KEY": KEY}
    arguments = []
    match source:
        case "file":
            (home.folder / "config.toml").write_text(file)
        case ".env":
            (home.folder / ".env").write_text("".join(f"{name}={environ[name]!r}\n" for name in environ))
        case "--set":
            arguments = ["--set", f"server.port={home.gateway.port}", "--key", KEY]
        case "--config":
            (home.folder / "other.toml").write_text(file)
            arguments = ["--config", "other.toml"]
    status, output = await home.run_bare("models", *arguments, **(environ if source == "environment" else {}))
    assert status == 0, output


async def test_command_line_is_stronger(home: Home) -> None:
    """Another gateway than the configured one can be asked, with its own key."""
    status, output = await home.run("models", GATEWAY_PORT="9", GATEWAY_API_KEY="another key")
    assert status == 0, output


LOAD, IPV6 = ["load", CHAT], ["--set=server.host=::1", "--set=server.port=9"]
FAILURES = [
    pytest.param([*LOAD, "--with", "contextLength=-1"], 65, "loadConfig.contextLength", id="bad value"),
    pytest.param([*LOAD, "--with", "contextLenght=1"], 65, "mean contextLength?", id="misspelt setting"),
    pytest.param([*LOAD, "--with", "contextLength"], 64, "write NAME=VALUE", id="no value"),
    pytest.param([*LOAD, "--with=gpu=1", "--with=gpu.ratio=1"], 65, "gpu", id="both"),
    pytest.param([*LOAD, "--ttl=-1"], 65, "ttlSeconds", id="bad time to live"),
    pytest.param(["load", "qwen2.5-7b"], 66, CHAT, id="unknown model"),
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
    pytest.param(["models", "--key", "wrong"], 77, "doesn't accept this key", id="wrong key"),
    pytest.param(["models", "--key", ""], 77, "requires a key", id="no key"),
    pytest.param([*LOAD, "--key", "wrong"], 77, "doesn't accept", id="wrong key to load"),
    pytest.param(["cancel", CHAT], 66, f"Nothing named {CHAT} is being loaded", id="nothing to cancel"),
    pytest.param(["events", "--type", "eror"], 65, "did you mean error?", id="misspelt event"),
    pytest.param([*LOAD, "--with", "contextLength=99999"], 1, "resources", id="out of memory"),
    pytest.param(["models", "--set", "server.prot=1"], 78, "did you mean server.port?", id="broken config"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), FAILURES)
async def test_exit_status(
    home: Home,
    arguments: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A script can tell what went wrong by the status, and a person by one line."""
    monkeypatch.chdir(home.folder)
    for variable in {name for setting in SETTINGS.values() for name in setting.env}:
        monkeypatch.delenv(variable, raising=False)
    places = {"STUDIO": home.base_url, "TLS": f"https://127.0.0.1:{home.gateway.port}"}
    arguments = [places.get(argument, argument) for argument in arguments]
    if "--key" not in arguments:
        arguments += ["--key", KEY]
    if "--url" not in arguments and IPV6[0] not in arguments:
        arguments += ["--url", home.gateway.base_url]
    # In a thread of this process, beside the gateway: a process for each would take longer than all the rest.
    ended = await asyncio.to_thread(main, arguments)
    *progress, line = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(rf"{CHAT} \d+ %", text) for text in progress)
    assert line.startswith("lmgateway: ")
    assert said in line
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
async def unheard() -> AsyncIterator[str]:
    """A host that is off, as it seems: its queue of those who want in is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (untrusted, "isn't trusted"),
        (of_another_kind, "The server at this address isn't an lmgateway."),
        (unheard, "give its address with --url"),
    ],
)
async def test_no_gateway_to_talk_to(
    place: Callable[[], AbstractAsyncContextManager[str]], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there instead of a gateway, or isn't there, is said."""
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    async with place() as url, client.gateway_client(url, "") as gateway:
        with pytest.raises(RequestFailed, match=re.escape(said)) as failed:
            await gateway.request("GET", "/admin/models")
    assert failed.value.exit_status == 69


async def test_lm_studio_is_down(start_gateway: StartGateway, tmp_path: Path) -> None:
    """That the gateway runs and LM Studio doesn't is said, with the status of a service that isn't there."""
    gateway = await start_gateway(NOWHERE, lmstudio={"connect_attempts": 1})
    async with lmgateway("models", "--url", gateway.base_url, cwd=tmp_path) as command:
        status, output = await command.ends()
    assert status == 69
    assert "LM Studio" in output
