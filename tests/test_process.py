"""The command itself, run as a user runs it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil
import pytest

from lmgateway.simulator import Pace, Simulator, serve
from tests.support.process import Process, lmgateway
from tests.support.raw_client import raw_client
from tests.support.waiting import PATIENCE_SECONDS

MODEL = "qwen2.5-7b-instruct"
KEY = {"Authorization": "Bearer a key"}


class Held(Pace):
    """A pace that stops where a test wants it to: `prompts` tokens of prompt, `tokens` tokens of answer."""

    def __init__(self) -> None:
        super().__init__()
        self.may_begin = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)

    async def prompt(self, tokens: int) -> None:
        self.waiting.release()
        await self.may_begin.wait()

    async def token(self) -> None:
        await asyncio.sleep(0.005)


@pytest.fixture
async def held_studio() -> AsyncIterator[tuple[Simulator, Held, str]]:
    """A pretend LM Studio whose model thinks about the prompt until it is told to answer."""
    pace = Held()
    simulator = Simulator(pace=pace)
    simulator.load(MODEL)
    async with serve(simulator, "127.0.0.1", 0) as port:
        yield simulator, pace, f"http://127.0.0.1:{port}"


async def started(
    stack: AsyncExitStack, cwd: Path, base_url: str, *arguments: str, **environ: str
) -> tuple[Process, int]:
    gateway = await stack.enter_async_context(
        lmgateway(
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            *arguments,
            cwd=cwd,
            LMSTUDIO_BASE_URL=base_url,
            **environ,
        )
    )
    return gateway, await gateway.port()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("moment", ["before the first token", "while tokens flow"])
@pytest.mark.parametrize("within", [PATIENCE_SECONDS, pytest.param(0.1, marks=pytest.mark.long)])
async def test_killed_client_stops_lm_studio_at_once(
    tmp_path: Path, held_studio: tuple[Simulator, Held, str], stream: bool, moment: str, within: float
) -> None:
    """On the real process, too, nobody keeps the GPU busy who isn't there any more."""
    simulator, pace, base_url = held_studio
    body = b'{"model":"%s","stream":%s,"messages":[{"role":"user","content":"hi"}]}' % (
        MODEL.encode(),
        b"true" if stream else b"false",
    )
    async with AsyncExitStack() as stack:
        _, port = await started(stack, tmp_path, base_url)
        client = await stack.enter_async_context(raw_client(port))
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        await asyncio.wait_for(pace.waiting.acquire(), 10)
        if moment == "while tokens flow":
            pace.may_begin.set()
            if stream:
                await asyncio.wait_for(client.reader.readuntil(b"data: "), 10)
        left = time.monotonic()
        client.hang_up()
        await asyncio.wait_for(simulator.ledger.wait(aborted=1), PATIENCE_SECONDS)
    assert simulator.ledger.aborts[0].at - left < within


async def test_killed_lm_studio_is_an_error_and_its_return_is_noticed(tmp_path: Path) -> None:
    """Mid-stream its end breaks the stream; afterwards 503; and when it is back, so are answers."""
    async with AsyncExitStack() as stack:
        studio = await stack.enter_async_context(lmgateway("simulate", "--port", "0", cwd=tmp_path))
        studio_port = await studio.port()
        _, port = await started(stack, tmp_path, f"http://127.0.0.1:{studio_port}")
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        # This one's stream begins before the model is loaded.
        body = {"model": MODEL, "stream": True, "input": "hi"}
        async with client.post("/api/v1/chat", json=body) as response:
            assert response.status == 200
            await response.content.readany()
            studio.send(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientPayloadError):
                await asyncio.wait_for(response.read(), 10)
        # The kernel ends a process's newest connections first, and its listening socket last. In between it
        # accepts connections and resets them, which is a server that breaks off (502), and not an absent one.
        await asyncio.wait_for(studio.process.wait(), 10)
        async with client.get("/v1/models") as response:
            assert response.status == 503
        async with client.get("/health/ready") as response:
            assert response.status == 503
            assert (await response.json())["lmstudio"]["reachable"] is False
        again = await stack.enter_async_context(
            lmgateway("simulate", "--port", str(studio_port), cwd=tmp_path)
        )
        await again.port()
        async with client.get("/v1/models") as response:
            assert response.status == 200
        async with client.get("/health/ready") as response:
            assert (await response.json())["status"] == "ok"


async def test_listens_soon_and_stays_small(tmp_path: Path) -> None:
    """After less than a second of work, with LM Studio down, in under 60 MB."""
    async with AsyncExitStack() as stack:
        serve = lmgateway("serve", "--host", "127.0.0.1", "--port", "0", cwd=tmp_path, is_covered=False)
        gateway = await stack.enter_async_context(serve)
        client = await stack.enter_async_context(raw_client(await gateway.port()))
        await client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await client.head()
        # The machine may be busy with something else: what counts is what the gateway itself takes.
        process = psutil.Process(gateway.pid)
        spent = process.cpu_times()
        assert spent.user + spent.system < 1
        assert process.memory_info().rss < 60 * 1024**2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_ends_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Stopping the service is no failure, and says nothing alarming."""
    async with AsyncExitStack() as stack:
        gateway, _ = await started(stack, tmp_path, "http://127.0.0.1:9")
        gateway.send(number)
        status, output = await gateway.ends()
        assert status == 0
        assert "Traceback" not in output


async def test_settings_come_from_where_the_manual_says(tmp_path: Path) -> None:
    """Command line over environment over .env over file, on the real process."""
    (tmp_path / "config.toml").write_text(
        '[auth]\napi_key = "file"\n[lmstudio]\nbase_url = "http://127.0.0.1:9/file"\n'
    )
    (tmp_path / ".env").write_text("GATEWAY_API_KEY=dotenv\nLOG_LEVEL=error\nPROXY_TIMEOUT=1\n")
    async with lmgateway(
        "check",
        "--port",
        "1234",
        "--set",
        "logging.format=json",
        cwd=tmp_path,
        LOG_LEVEL="debug",
        GATEWAY_PORT="1",
    ) as check:
        status, output = await check.ends()
    assert status == 0
    lines = {
        line.split(" = ")[0]: line.split(" = ")[1].split("#") for line in output.splitlines() if " = " in line
    }
    shown = {path: (value.strip(), origin.strip()) for path, (value, origin) in lines.items()}
    assert shown["server.port"] == ("1234", "command line")
    assert shown["logging.format"] == ('"json"', "command line")
    assert shown["logging.level"] == ('"debug"', "environment (LOG_LEVEL)")
    assert shown["proxy.timeout_ms"] == ("1", ".env (PROXY_TIMEOUT)")
    assert shown["auth.api_key"] == ('"********"', ".env (GATEWAY_API_KEY)")
    assert shown["lmstudio.base_url"] == ('"http://127.0.0.1:9/file"', "config.toml")
    assert shown["server.host"] == ('"0.0.0.0"', "default")
    assert "dotenv\n" not in output


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_wrong_configuration_ends_with_78(tmp_path: Path, command: str) -> None:
    """EX_CONFIG, one line for each mistake, and nothing is served."""
    (tmp_path / "config.toml").write_text("[server]\nprot = 80\nhost = 1\n")
    async with lmgateway(command, cwd=tmp_path) as process:
        status, output = await process.ends()
    assert status == 78
    assert output.splitlines() == [
        "lmgateway: config.toml: server.prot: no such setting; did you mean server.port?",
        (
            "lmgateway: config.toml: server.host: invalid value 1, "
            "expected an address or a host name of this machine"
        ),
    ]


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_a_certificate_that_is_not_there_ends_with_78(tmp_path: Path, command: str) -> None:
    """What `check` finds nothing wrong with can be served."""
    environ = {"GATEWAY_TLS_CERT": "missing.pem", "GATEWAY_TLS_KEY": "missing.pem"}
    async with lmgateway(command, cwd=tmp_path, **environ) as process:
        status, output = await process.ends()
    assert (status, output.count("\n")) == (78, 1)
    assert "server.tls_cert: missing.pem can't be read" in output


async def test_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    """`lmgateway check | head -1` ends without a word of Python's."""
    command = f"{sys.executable} -m lmgateway check | head -n 1"
    shell = await asyncio.create_subprocess_shell(
        command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(shell.communicate(), 20)
    assert (output.count(b"\n"), errors) == (1, b"")


async def test_whoever_serves_everybody_is_told(tmp_path: Path) -> None:
    """As whoever serves this machine alone."""
    options = ("--host", "127.0.0.1", "--port", "0", "--set", "network.ip_allowlist=*")
    async with lmgateway("serve", *options, cwd=tmp_path) as gateway:
        await gateway.says(
            "Any client that can reach this machine is served, because auth.api_key isn't set."
        )


async def test_a_log_that_cant_be_written_is_said(tmp_path: Path) -> None:
    """At the start of the pretend LM Studio, and not by each request."""
    (tmp_path / "file").write_text("")
    async with lmgateway("simulate", "--port", "0", "--log-dir", "file/logs", cwd=tmp_path) as simulator:
        status, output = await simulator.ends()
    assert (status, "file/logs isn't writable" in output) == (73, True)


async def test_taken_port_is_said(tmp_path: Path) -> None:
    """No traceback for what happens to everybody once."""
    async with AsyncExitStack() as stack:
        _, port = await started(stack, tmp_path, "http://127.0.0.1:9")
        second = await stack.enter_async_context(
            lmgateway("serve", "--host", "127.0.0.1", "--port", str(port), cwd=tmp_path)
        )
        status, output = await second.ends()
    assert status == 71
    assert output == f"lmgateway: can't listen on 127.0.0.1 port {port}: Address already in use\n"


async def test_dual_stack_takes_ipv4_by_its_own_rules(tmp_path: Path) -> None:
    """Listening on "::" serves IPv4 clients too, matched as IPv4."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            lmgateway("serve", "--host", "::", "--port", "0", cwd=tmp_path, IP_ALLOWLIST="127.0.0.1")
        )
        port = await gateway.port()
        client = await stack.enter_async_context(aiohttp.ClientSession())
        for host, expected in [("127.0.0.1", 200), ("[::1]", 403)]:
            async with client.get(f"http://{host}:{port}/health") as response:
                assert response.status == expected


async def test_demo_is_a_gateway_to_try(tmp_path: Path) -> None:
    """The demo's own curl lines work as they are printed. Of an answer that takes seconds, a word will do."""
    async with lmgateway("demo", "--port", "0", cwd=tmp_path) as demo:
        port = await demo.port()
        assert demo.process.stdout is not None
        printed = (await demo.process.stdout.readuntil(b"Press Ctrl-C to stop it.\n")).decode()
        commands = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]
        assert len(commands) == 3
        for command in commands:
            assert f":{port}/" in command
            curl = await asyncio.create_subprocess_shell(
                command.replace("curl ", "exec curl --silent --fail ", 1), stdout=asyncio.subprocess.PIPE
            )
            assert curl.stdout is not None
            if " -N " in command:
                assert b"data: " in await asyncio.wait_for(curl.stdout.readline(), 20)
                curl.kill()
                await curl.communicate()
            else:
                output, _ = await asyncio.wait_for(curl.communicate(), 20)
                assert curl.returncode == 0
                assert output


async def test_a_vital_task_that_dies_ends_the_process(tmp_path: Path) -> None:
    """Without the sweep no limit on connections is enforced: exit status 70, and systemd starts it again."""
    (tmp_path / "sitecustomize.py").write_text(
        "from lmgateway.server.connection_limits import ConnectionLimits\n"
        "async def sweep(self):\n"
        "    raise AttributeError('_buffer_paused')\n"
        "ConnectionLimits.sweep = sweep\n"
    )
    serve_once = lmgateway(
        "serve", "--host", "127.0.0.1", "--port", "0", cwd=tmp_path, PYTHONPATH=str(tmp_path)
    )
    async with serve_once as gateway:
        status, output = await gateway.ends()
    assert status == 70
    assert output.splitlines()[-1] == "lmgateway: a vital task died: AttributeError('_buffer_paused')"
    assert "Traceback" not in output
