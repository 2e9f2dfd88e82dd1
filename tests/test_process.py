"""The command itself, run as a user runs it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil
import pytest

from lmgateway.simulator import Simulator, serve
from tests.support.gate import Gate
from tests.support.process import Process, lmgateway, run
from tests.support.raw_client import raw_client
from tests.support.waiting import PATIENCE_SECONDS

MODEL = "qwen2.5-7b-instruct"
NOWHERE = "http://127.0.0.1:9"
SERVE = ("serve", "--host", "127.0.0.1", "--port", "0")


async def started(
    stack: AsyncExitStack, cwd: Path, base_url: str, *arguments: str, **environ: str
) -> tuple[Process, int]:
    command = lmgateway(*SERVE, *arguments, cwd=cwd, LMSTUDIO_BASE_URL=base_url, **environ)
    gateway = await stack.enter_async_context(command)
    return gateway, await gateway.port()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("moment", ["before the first token", "while tokens flow"])
@pytest.mark.parametrize("within", [PATIENCE_SECONDS, pytest.param(0.1, marks=pytest.mark.long)])
async def test_killed_client_stops_lm_studio_at_once(
    tmp_path: Path, stream: bool, moment: str, within: float
) -> None:
    """The real process, too, aborts the generation of a client that is gone."""
    gate = Gate(holds="prompt", tokens_per_second=200)
    simulator = Simulator(pace=gate)
    simulator.load(MODEL)
    body = b'{"model":"%s","stream":%s,"messages":[{"role":"user","content":"hi"}]}' % (
        MODEL.encode(),
        b"true" if stream else b"false",
    )
    async with AsyncExitStack() as stack:
        studio_port = await stack.enter_async_context(serve(simulator, "127.0.0.1", 0))
        _, port = await started(stack, tmp_path, f"http://127.0.0.1:{studio_port}")
        client = await stack.enter_async_context(raw_client(port))
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        await asyncio.wait_for(gate.reached.wait(), 10)
        if moment == "while tokens flow":
            gate.opened.set()
            if stream:
                await asyncio.wait_for(client.reader.readuntil(b"data: "), 10)
        left = time.monotonic()
        client.hang_up()
        await asyncio.wait_for(simulator.ledger.wait(left=1), PATIENCE_SECONDS)
        # LM Studio finishes a prompt before it aborts.
        gate.opened.set()
        await asyncio.wait_for(simulator.ledger.wait(aborted=1), PATIENCE_SECONDS)
    assert simulator.ledger.aborts[0].left_at - left < within


async def importing_seconds() -> float:
    """The processor time in which Python imports the two largest libraries, on this machine and now."""
    code = "import time, aiohttp.web, lmstudio; print(time.process_time())"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    return float((await process.communicate())[0])


async def test_listens_soon_and_stays_small(tmp_path: Path) -> None:
    """With LM Studio down, after little more work than the imports of its libraries, in under 64 MB."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(lmgateway(*SERVE, cwd=tmp_path, is_covered=False))
        client = await stack.enter_async_context(raw_client(await gateway.port()))
        await client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await client.head()
        process = psutil.Process(gateway.pid)
        spent = process.cpu_times()
        assert spent.user + spent.system < 2.5 * await importing_seconds()
        assert process.memory_info().rss < 64 * 1024**2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Stopping the service is no failure, and logs no traceback."""
    async with AsyncExitStack() as stack:
        gateway, _ = await started(stack, tmp_path, NOWHERE)
        gateway.send(number)
        status, output = await gateway.ends()
        assert status == 0
        assert "Traceback" not in output


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_wrong_configuration_ends_with_78(tmp_path: Path, command: str) -> None:
    """EX_CONFIG, one line for each mistake, and nothing is served."""
    (tmp_path / "config.toml").write_text("[server]\nprot = 80\nhost = 1\n")
    status, output = await run(command, cwd=tmp_path)
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
    """`check` reports what would stop `serve`."""
    environ = {"GATEWAY_TLS_CERT": "missing.pem", "GATEWAY_TLS_KEY": "missing.pem"}
    status, output = await run(command, cwd=tmp_path, **environ)
    assert (status, output.count("\n")) == (78, 1)
    assert "server.tls_cert: missing.pem can't be read" in output


async def test_a_closed_pipe_is_no_fault(tmp_path: Path) -> None:
    """`lmgateway check | head -1` prints no traceback."""
    command = f"{sys.executable} -m lmgateway check | head -n 1"
    shell = await asyncio.create_subprocess_shell(
        command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(shell.communicate(), 20)
    assert (output.count(b"\n"), errors) == (1, b"")


async def test_serving_every_client_without_a_key_is_logged(tmp_path: Path) -> None:
    async with lmgateway(*SERVE, "--set", "network.ip_allowlist=*", cwd=tmp_path) as gateway:
        await gateway.says("Any client that can reach this machine is served, because there is no key.")


async def test_keys_that_cant_be_read_are_said_at_the_start(tmp_path: Path) -> None:
    """Clients with a key are refused, and not because of their key."""
    (tmp_path / "lmgateway.db").write_bytes(b"no database" * 1000)
    async with lmgateway(*SERVE, "--set", "server.state_dir=.", cwd=tmp_path) as gateway:
        await gateway.says(
            "The saved keys can't be read, so only the owner's key (auth.api_key) is accepted.\n"
        )


async def test_check_doesnt_know_the_named_keys(tmp_path: Path) -> None:
    """So its sentence about who is served holds with them, and without them."""
    status, output = await run("check", cwd=tmp_path)
    assert status == 0
    assert output.splitlines()[-1].startswith(
        "Neither auth.api_key nor network.ip_allowlist is set: without a"
    )


async def test_a_log_that_cant_be_written_stops_the_simulator(tmp_path: Path) -> None:
    """At its start, instead of failing each request."""
    (tmp_path / "file").write_text("")
    status, output = await run("simulate", "--port", "0", "--log-dir", "file/logs", cwd=tmp_path)
    assert (status, "file/logs isn't writable" in output) == (73, True)


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """A common mistake gets no traceback, but who has the port, and what to do."""
    async with AsyncExitStack() as stack:
        gateway, port = await started(stack, tmp_path, NOWHERE)
        status, output = await run("serve", "--host", "127.0.0.1", "--port", str(port), cwd=tmp_path)
    assert status == 71
    assert output == (
        f"lmgateway: can't listen on 127.0.0.1 port {port}: Address already in use, by lmgateway (process "
        f"{gateway.pid}). Choose another port with --port, or end that program.\n"
    )


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


SWEEP = """
from lmgateway.server.connection_limits import ConnectionLimits
async def sweep(self):
    raise AttributeError("a fault")
ConnectionLimits.sweep = sweep
"""
FEEDER = """
from lmgateway.server.service_manager import ServiceManager
async def feed_watchdog(self, status):
    raise AttributeError("a fault")
ServiceManager.feed_watchdog = feed_watchdog
"""
WRITER = """
from lmgateway.storage.active_models import SavedActiveModels
def die(connection):
    raise SystemExit
async def save(self, active):
    await self._database.write(die)
SavedActiveModels.save = save
"""


@pytest.mark.parametrize("fault", [SWEEP, FEEDER], ids=["sweep", "feeder"])
async def test_a_vital_task_that_dies_ends_the_process(tmp_path: Path, fault: str) -> None:
    """Without the sweep no limit on connections is enforced: exit status 70, and systemd starts it again."""
    (tmp_path / "sitecustomize.py").write_text(fault)
    status, output = await run(*SERVE, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert status == 70
    assert output.splitlines()[-1] == "lmgateway: a vital task died: AttributeError('a fault')"
    assert "Traceback" not in output


async def test_the_databases_thread_may_die_once(tmp_path: Path) -> None:
    """The second time the process ends, because it could save nothing any more."""
    (tmp_path / "sitecustomize.py").write_text(WRITER)
    async with AsyncExitStack() as stack:
        gateway, port = await started(stack, tmp_path, NOWHERE, PYTHONPATH=str(tmp_path))
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        for _ in range(2):
            async with client.post("/admin/models/activate", json={"modelKey": "m", "type": "llm"}) as answer:
                assert (answer.status, (await answer.json())["error"][:10]) == (500, "The thread")
        status, output = await gateway.ends()
    assert status == 70
    assert output.splitlines()[-1] == "lmgateway: a vital task died: SystemExit()"
    assert "the database's thread died, and is started again" in output
